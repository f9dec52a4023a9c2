// Words that several pages share: English, and Portuguese as it is written in Portugal.

export const common = {
  'common.cancel': ['Cancel', 'Cancelar'],
  'common.close': ['Close', 'Fechar'],
  'common.save': ['Save', 'Guardar'],
  'common.delete': ['Delete', 'Eliminar'],
  'common.edit': ['Edit', 'Editar'],
  'common.retry': ['Try again', 'Tentar de novo'],
  'common.unknown': ['not known', 'desconhecido'],
  'common.none': ['none', 'nenhum'],
  'common.loading': ['Asking…', 'A perguntar…'],
  'common.devices': ['{n} device|{n} devices', '{n} dispositivo|{n} dispositivos'],
  'common.samples': ['{n} sample|{n} samples', '{n} amostra|{n} amostras'],
} as const;
