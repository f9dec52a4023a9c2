// What people read must come from the tables of words: a text written into a component has no Portuguese.

import { expect, it } from 'vitest';
import { parseAst } from 'rolldown/parseAst';

interface Node {
  type: string;
  [key: string]: unknown;
}

/** Attributes whose text is shown or read out. */
const READ = new Set(['title', 'placeholder', 'alt', 'aria-label', 'aria-valuetext', 'aria-roledescription', 'aria-description']);
/** The same of our components; in HTML they are for forms. */
const OURS = new Set(['name', 'text', 'verb', 'unit', 'label', 'hint', 'any', 'error']);
/** Names and signs that are the same in every language. */
const SAME = new Set(['Tidegate', 'tidegate', 'operator', 'CSV', 'PNG', 'JSON']);

const isWords = (text: string): boolean => /\p{L}{2,}/u.test(text) && !SAME.has(text.trim());

/** The words that a component would show as they are. */
export function hardCoded(source: string): string[] {
  const found: string[] = [];
  const add = (text: string): void => {
    if (isWords(text)) found.push(text.trim().replace(/\s+/g, ' '));
  };
  /** `shown`: what this expression comes to is put on the screen. */
  const visit = (it: unknown, shown: boolean): void => {
    if (Array.isArray(it)) return it.forEach((one) => visit(one, shown));
    if (typeof it !== 'object' || it === null || !('type' in it)) return;
    const node = it as Node;
    switch (node.type) {
      case 'JSXText':
        return add(String(node['value']));
      case 'JSXOpeningElement':
        return (node['attributes'] as Node[]).forEach((one) => attribute(one, isOurs(node)));
      case 'JSXExpressionContainer':
        return visit(node['expression'], shown);
      case 'JSXElement':
        visit(node['openingElement'], false);
        return visit(node['children'], true);
      case 'JSXFragment':
        return visit(node['children'], true);
      case 'Literal':
        return shown && typeof node['value'] === 'string' ? add(node['value']) : undefined;
      case 'TemplateLiteral':
        if (shown) for (const quasi of node['quasis'] as Node[]) add((quasi['value'] as { cooked: string }).cooked);
        return visit(node['expressions'], false);
      case 'ConditionalExpression':
        visit(node['test'], false);
        visit(node['consequent'], shown);
        return visit(node['alternate'], shown);
      case 'LogicalExpression':
        visit(node['left'], false);
        return visit(node['right'], shown);
      default:
        for (const key in node) if (key !== 'type') visit(node[key], false);
    }
  };
  const attribute = (node: Node, ours: boolean): void => {
    const { name } = (node['name'] ?? {}) as { name?: string };
    const shown = name !== undefined && (READ.has(name) || (ours && OURS.has(name)));
    visit(node['value'] ?? node['argument'], shown);
  };
  const isOurs = (element: Node): boolean => /^[A-Z]/.test((element['name'] as { name?: string }).name ?? '');
  visit(parseAst(source, { lang: 'tsx' }), false);
  return found;
}

it('finds words that are written into a component', () => {
  expect(hardCoded('const A = () => <p title="Some words">Hello <b>{x ? "yes please" : `no ${n}`}</b></p>;')).toEqual([
    ...['Some words', 'Hello', 'yes please', 'no'],
  ]);
  expect(hardCoded('const A = () => <p class="some words">{say("a.b")} – {count(3)}</p>;')).toEqual([]);
  expect(hardCoded('const A = () => <Fact name="First seen" text={known && "at noon"} />;')).toEqual(['First seen', 'at noon']);
  expect(hardCoded('const A = () => <input name="range" value="words of ours" />;')).toEqual([]);
});

const components: Record<string, string> = import.meta.glob('../ui/*.tsx', { query: '?raw', import: 'default', eager: true });

it('all components look their words up', () => {
  expect(Object.keys(components).length).toBeGreaterThan(20);
  const found = Object.entries(components).flatMap(([name, source]) => hardCoded(source).map((text) => `${name}: ${text}`));
  expect(found).toEqual([]);
});
