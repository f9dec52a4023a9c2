// Words of the lines that say where data goes.

export const flow = {
  'flow.where': ['Where data goes', 'Para onde vão os dados'],
  'flow.tightest': ['tightest: {of}', 'mais apertado: {of}'],
  'flow.spool_fill': ['Fill of the spool', 'Enchimento do diário'],
  'flow.of': ['{part} of {all}', '{part} de {all}'],
  'flow.rate': ['{n} sample/s|{n} samples/s', '{n} amostra/s|{n} amostras/s'],
} as const;
