// The file of API keys, as an administrator's tools write it: a story gives keys out and takes them back.
import { createHash, randomBytes } from 'node:crypto';
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';

export class Keys {
  #all = [];
  #path;

  /** In the state directory of a daemon that has no configuration file. */
  constructor(state) {
    this.#path = join(state, 'keys.toml');
  }

  /** The text of a new key. */
  issue(name, scopes, devices = ['*']) {
    const id = [...randomBytes(8)].map((byte) => BASE32[byte % 32]).join('');
    const text = `tgk_${id}_${randomBytes(32).toString('base64url')}`;
    const hash = createHash('sha256').update(text).digest('hex');
    this.#all.push({ name, id, hash, scopes, devices, issued_at: new Date(), revoked_at: null });
    this.#write();
    return text;
  }

  /** Who shows it, or showed it at a login, is sent away within moments. */
  revoke(text) {
    const key = this.#all.find(({ id }) => text.startsWith(`tgk_${id}_`));
    key.revoked_at = new Date();
    this.#write();
  }

  #write() {
    const quoted = (texts) => `[${texts.map((text) => JSON.stringify(text)).join(', ')}]`;
    const entries = this.#all.map(({ name, id, hash, scopes, devices, issued_at, revoked_at }) => [
      ...['[[keys]]', `name = "${name}"`, `id = "${id}"`, `hash = "${hash}"`],
      ...[`scopes = ${quoted(scopes)}`, `devices = ${quoted(devices)}`, `issued_at = ${seconds(issued_at)}`],
      ...(revoked_at === null ? [] : [`revoked_at = ${seconds(revoked_at)}`]),
      'by = "a story"',
    ]);
    writeFileSync(`${this.#path}.new`, `${entries.map((lines) => lines.join('\n')).join('\n\n')}\n`, { mode: 0o644 });
    renameSync(`${this.#path}.new`, this.#path);
  }
}

const seconds = (date) => `${date.toISOString().slice(0, 19)}Z`;
