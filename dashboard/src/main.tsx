import { render } from 'preact';
import 'uplot/dist/uPlot.min.css';
import './styles/nav.css';
import './styles/room.css';
import './styles/pipeline.css';
import './styles/charts.css';
import './styles/boards.css';
import './styles/access.css';
import { start } from './app';
import { exposeProbe } from './probe';
import { watchTheme } from './theme';
import { wear } from './theme_choice';
import { Page } from './ui/page';

wear();
watchTheme();
exposeProbe();
render(<Page />, document.getElementById('app')!);
void start();
