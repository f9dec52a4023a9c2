// The shapes of who may come: the session of this page, keys, the trail.

export type Scope = 'ingest' | 'view' | 'command' | 'admin';

/** Who the daemon takes this page for. */
export interface Session {
  name: string;
  /** Later daemons may know more; `admin` includes all. */
  scopes: readonly string[];
  /** Globs. */
  devices: readonly string[];
  how: 'anonymous' | 'key' | 'jwt' | 'session' | 'certificate' | 'local';
  expires_at: number | null;
}

/** What is known of a key; nobody knows its text. */
export interface Key {
  id: string;
  name: string;
  scopes: readonly string[];
  devices: readonly string[];
  issued_at: number;
  expires_at: number | null;
  revoked_at: number | null;
  last_used_at: number | null;
  by: string;
}

/** Something that somebody did. */
export interface Deed {
  id: number;
  at: number;
  by: string;
  how: string;
  address: string | null;
  did: string;
  what: string;
}

export interface Trail {
  entries: Deed[];
  next: number | null;
}
