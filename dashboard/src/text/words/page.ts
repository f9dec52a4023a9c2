// Words of the frame of every page: the navigation, the banners.

export const page = {
  'page.title': ['{name} – Tidegate', '{name} – Tidegate'],
  'page.skip': ['Skip to the page', 'Saltar para a página'],
  'page.older': ['This page is older than your data: reload.', 'Esta página é mais antiga do que os seus dados: recarregue.'],
  'page.older_why': [
    'The daemon sent “{type}”, which this page does not know.',
    'O serviço enviou “{type}”, que esta página não conhece.',
  ],
  'page.reload': ['Reload', 'Recarregar'],
  'page.nav': ['Main pages', 'Páginas principais'],
  'page.overview': ['Overview', 'Visão geral'],
  'page.boards': ['Boards', 'Painéis'],
  'page.alerts': ['Alerts', 'Alertas'],
  'page.pipeline': ['Pipeline', 'Percurso'],
  'page.dead_letters': ['Dead letters', 'Recusadas'],
  'page.not_understood': ['Not understood', 'Não entendidas'],
  'page.settings': ['Settings', 'Definições'],
  'page.inbox': ['Inbox', 'Recém-chegados'],
  'page.no_answer': ['the daemon does not answer', 'o serviço não responde'],
  'page.denied_right': ['The daemon does not let you see this.', 'O serviço não lhe permite ver isto.'],
  'page.denied_stale': ['What is shown is what was known before.', 'O que se vê é o que se sabia antes.'],
  'page.badge': ['{n} firing, {critical} of them critical', '{n} ativos, {critical} dos quais críticos'],
  'page.badge_calm': ['{n} firing', '{n} ativo|{n} ativos'],
} as const;
