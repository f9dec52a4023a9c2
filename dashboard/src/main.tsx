import { render } from 'preact';
import 'uplot/dist/uPlot.min.css';
import './styles/nav.css';
import { start } from './app';
import { exposeProbe } from './probe';
import { watchTheme } from './theme';
import { Page } from './ui/page';

watchTheme();
exposeProbe();
render(<Page />, document.getElementById('app')!);
void start();
