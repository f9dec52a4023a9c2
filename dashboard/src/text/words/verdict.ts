// What is wrong, in one sentence, and what can be done about it in another.

export const verdict = {
  'verdict.critical': ['Critical alerts: {n}', 'Alertas críticos: {n}'],
  'verdict.firing': ['Alerts firing: {n}', 'Alertas activos: {n}'],
  'verdict.no_batch': ['No batch is accepted: {why}', 'Nenhum lote é aceite: {why}'],
  'verdict.no_batch_do': [
    'Producers keep their data and send it again. Mend what is said here; the daemon goes on by itself.',
    'Os produtores guardam os dados e enviam-nos de novo. Corrija o que aqui se diz; o serviço continua por si.',
  ],
  'verdict.ledger': ['The ledger does not balance', 'O balanço não bate certo'],
  'verdict.ledger_of': ['The ledger of {off}', 'O balanço de {off}'],
  'verdict.ledger_do': [
    'Samples were counted wrongly or lost. Run `tidegate audit` and report what it says.',
    'Houve amostras mal contadas ou perdidas. Execute `tidegate audit` e comunique o que disser.',
  ],
  'verdict.cut_held': ['{sink} is held by an operator{more}', '{sink} está retido por um operador{more}'],
  'verdict.cut_half_open': ['{sink} is being probed{more}', '{sink} está a ser testado{more}'],
  'verdict.cut_open': ['{sink} is cut off{more}', '{sink} está cortado{more}'],
  'verdict.cut_lag': [', {span} behind', ', {span} atrasado'],
  'verdict.cut_cause': [': {cause}', ': {cause}'],
  'verdict.cut_open_do': [
    'Its samples wait in the spool and are written when it answers again. See to the store and the way to it; “Probe now” tries at once.',
    'As amostras esperam no diário e são escritas quando voltar a responder. Verifique o destino e o caminho até ele; “Testar já” tenta de imediato.',
  ],
  'verdict.cut_held_do': [
    'Its samples wait in the spool. Release it when the store may be written to again.',
    'As amostras esperam no diário. Liberte-o quando se puder voltar a escrever no destino.',
  ],
  'verdict.cut_half_open_do': [
    'One request tries whether it takes data again; nothing needs to be done.',
    'Um pedido tenta se volta a aceitar dados; não é preciso fazer nada.',
  ],
  'verdict.broker': ['Broker {name} {state}{more}', 'O broker {name} {state}{more}'],
  'verdict.broker_connecting': ['is not connected yet', 'ainda não está ligado'],
  'verdict.broker_away': ['is away', 'não responde'],
  'verdict.broker_holding': ['has to wait', 'tem de esperar'],
  'verdict.broker_refused': ['refuses us', 'recusa-nos'],
  'verdict.broker_other': ['is {state}', 'está {state}'],
  'verdict.broker_away_do': [
    'It is tried again by itself. See whether the broker runs and can be reached from here.',
    'É tentado de novo por si. Veja se o broker está a funcionar e se daqui se chega a ele.',
  ],
  'verdict.broker_holding_do': [
    'The daemon has no room for its messages; the broker keeps those of QoS 1. See what is full below.',
    'O serviço não tem lugar para as mensagens; o broker guarda as de QoS 1. Veja em baixo o que está cheio.',
  ],
  'verdict.broker_refused_do': [
    'Check user, password, certificate and client id, there and in [[intake.mqtt]]; `tidegate check` tries them.',
    'Verifique utilizador, palavra-passe, certificado e identificador de cliente, lá e em [[intake.mqtt]]; `tidegate check` experimenta-os.',
  ],
  'verdict.throttled': ['Intake is throttled, pressure {percent}{of}', 'A entrada está travada, pressão {percent}{of}'],
  'verdict.of': [' of {of}', ' ({of})'],
  'verdict.throttled_do': [
    'Producers are told to send more slowly, and keep what they may not send. It ends by itself when what is tight has room again.',
    'Os produtores são avisados para enviar mais devagar e guardam o que não podem enviar. Acaba por si quando o que está apertado voltar a ter espaço.',
  ],
  'verdict.spool': ['Spool {percent} full, {bytes}{soon}', 'Diário {percent} cheio, {bytes}{soon}'],
  'verdict.spool_soon': [', full in {span}', ', cheio em {span}'],
  'verdict.spool_do': [
    'It empties when the slowest sink catches up: see which one lags. More room: spool.bytes_max, and a larger disk.',
    'Esvazia quando o destino mais lento recuperar: veja qual está atrasado. Mais espaço: spool.bytes_max e um disco maior.',
  ],
  'verdict.behind': ['{sink} is {span} behind', '{sink} está {span} atrasado'],
  'verdict.draining': ['{sink} drains a backlog of {span}, done in {eta}', '{sink} escoa um atraso de {span}, pronto em {eta}'],
  'verdict.behind_do': [
    'It takes less than comes in. Allow it more requests at a time (requests_max), send it rollups, or give the store more power.',
    'Aceita menos do que entra. Permita-lhe mais pedidos em simultâneo (requests_max), envie-lhe resumos, ou dê mais capacidade ao destino.',
  ],
  'verdict.draining_do': [
    'New readings are written first, the old ones beside them; nothing needs to be done.',
    'As leituras novas são escritas primeiro, as antigas ao lado; não é preciso fazer nada.',
  ],
  'verdict.live': ['Live is {span} behind', 'O direto está {span} atrasado'],
  'verdict.live_do': [
    'This machine does not keep up: what is shown here is late, what is stored is not.',
    'Esta máquina não acompanha: o que aqui se vê está atrasado, o que se guarda não.',
  ],
  'verdict.letters': ['{sink} has {letters}', '{sink} tem {letters}'],
  'verdict.letters_do': [
    'The store refused these for good. Read why, mend it, and replay them.',
    'O destino recusou-as definitivamente. Leia porquê, corrija e envie-as de novo.',
  ],
  'verdict.letters_other': ['{n} samples in dead letters', '{n} amostras recusadas'],
  'verdict.no_link': ['No link: what you see is {span} old', 'Sem ligação: o que vê tem {span}'],
  'verdict.waiting': ['Waiting for the daemon’s first word', 'À espera da primeira palavra do serviço'],
  'verdict.well': ['All well', 'Tudo bem'],
  'verdict.more': ['{text} (+{n} more)', '{text} (+{n})'],
} as const;
