// What is wrong with a form, by field. Pure.

/**
 * The daemon names each mistake as `field: what is wrong`, parted by semicolons. What names none of `known` goes on
 * with what was said before, and stands under the empty name if nothing was.
 */
export function faultsOf(
  message: string,
  fields: Readonly<Record<string, string>>,
  known: readonly string[],
): Record<string, string> {
  const found: Record<string, string> = { ...fields };
  if (Object.keys(found).length > 0) return found;
  let key = '';
  for (const part of message.split(/;\s+|\n/)) {
    const [, field = '', fault = ''] = /^([a-z_]+): (.+)$/s.exec(part) ?? [];
    const named = known.includes(field);
    if (named) key = field;
    const text = named ? fault : part;
    found[key] = found[key] === undefined ? text : `${found[key]}; ${text}`;
  }
  return found;
}
