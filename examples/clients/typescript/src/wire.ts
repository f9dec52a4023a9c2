/** The messages of proto/tidegate/v1/ingest.proto that a client needs, by hand: no generated code. */

export type Value = number | bigint | boolean | string;

/** One row of a device. A `bigint` is a whole number, a `number` a float. */
export interface Reading {
  values: Record<string, Value>;
  units?: Record<string, string>;
  /** Empty: the client itself. */
  device?: string;
  tags?: Record<string, string>;
  /** Nanoseconds since 1970. */
  time: bigint;
}

const U64 = (1n << 64n) - 1n;

class Writer {
  private parts: Buffer[] = [];

  varint(value: bigint | number): this {
    let rest = BigInt(value) & U64;
    const bytes: number[] = [];
    while (rest > 0x7fn) {
      bytes.push(Number(rest & 0x7fn) | 0x80);
      rest >>= 7n;
    }
    bytes.push(Number(rest));
    this.parts.push(Buffer.from(bytes));
    return this;
  }

  uint(tag: number, value: bigint | number): this {
    return value ? this.varint(tag << 3).varint(value) : this;
  }

  data(tag: number, value: string | Buffer): this {
    const bytes = typeof value === "string" ? Buffer.from(value) : value;
    this.varint((tag << 3) | 2).varint(bytes.length);
    this.parts.push(bytes);
    return this;
  }

  fixed64(tag: number, value: bigint): this {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(value);
    this.varint((tag << 3) | 1);
    this.parts.push(bytes);
    return this;
  }

  finish(): Buffer {
    return Buffer.concat(this.parts);
  }
}

const zigzag = (value: bigint) => (value << 1n) ^ (value >> 63n);
const upstream = (tag: number, message: Writer) => new Writer().data(tag, message.finish()).finish();

export function hello(client: string, session: bigint, resume: number, software: string): Buffer {
  return upstream(1, new Writer().data(1, client).fixed64(2, session).uint(3, resume).data(5, software));
}

export function batch(seq: number, rows: Reading[]): Buffer {
  const base = rows[0]?.time ?? 0n;
  const message = new Writer().uint(1, seq).uint(2, base);
  for (const row of rows) {
    const table = new Writer().data(1, row.device ?? "");
    for (const [key, value] of Object.entries(row.tags ?? {})) {
      table.data(2, new Writer().data(1, key).data(2, value).finish());
    }
    table.data(3, new Writer().varint(zigzag(row.time - base)).finish());
    for (const [metric, value] of Object.entries(row.values)) {
      table.data(4, column(metric, row.units?.[metric] ?? "", value));
    }
    message.data(3, table.finish());
  }
  return upstream(2, message);
}

function column(metric: string, unit: string, value: Value): Buffer {
  const out = new Writer().data(1, metric).data(9, unit);
  switch (typeof value) {
    case "bigint":
      if (BigInt.asIntN(64, value) !== value) throw new RangeError(`${metric}: ${value} does not fit into 64 bits`);
      return out.data(5, new Writer().varint(zigzag(value)).finish()).finish();
    case "boolean":
      return out.data(6, Buffer.from([value ? 1 : 0])).finish();
    case "string":
      return out.data(7, value).finish();
    default: {
      const bytes = Buffer.alloc(8);
      bytes.writeDoubleLE(value);
      return out.data(2, bytes).finish();
    }
  }
}

export function result(id: bigint, ok: boolean, message: string, payload: string): Buffer {
  return upstream(3, new Writer().uint(1, id).uint(2, ok ? 1 : 0).data(3, message).data(4, payload));
}

export function reported(device: string, version: bigint, ok: boolean, message: string, document: string): Buffer {
  const report = new Writer().data(1, device).uint(2, version).uint(3, ok ? 1 : 0);
  return upstream(4, report.data(4, message).data(5, document));
}

/** What the daemon says; the fields as in the .proto. `unknown`: of a newer daemon. */
export type Downstream =
  | { kind: "welcome"; lastSeq: number; batches: number; bytes: number }
  | { kind: "ack"; seq: number; batches: number; bytes: number }
  | { kind: "refusal"; seq: number; laterAfterMs: number | undefined; why: string }
  | { kind: "throttle"; batches: number; bytes: number; minIntervalMs: number }
  | { kind: "command"; id: bigint; device: string; name: string; payload: string }
  | { kind: "goodbye"; reconnectAfterMs: number }
  | { kind: "desired"; version: bigint; device: string; document: string }
  | { kind: "unknown" };

/** Throws a RangeError for what is no message. */
export function downstream(bytes: Buffer): Downstream {
  const [tag, content] = [...fields(bytes)].find(([tag]) => tag >= 1 && tag <= 7) ?? [0, Buffer.alloc(0)];
  if (!Buffer.isBuffer(content)) throw new RangeError("not a message");
  const said = tag ? fields(content) : new Map<number, bigint | Buffer>();
  const big = (tag: number) => {
    const value = said.get(tag);
    return typeof value === "bigint" ? value : 0n;
  };
  const number = (tag: number) => Number(big(tag));
  const text = (tag: number) => {
    const value = said.get(tag);
    return Buffer.isBuffer(value) ? value.toString() : "";
  };
  switch (tag) {
    case 1:
      return { kind: "welcome", lastSeq: number(1), batches: number(2), bytes: number(3) };
    case 2:
      return { kind: "ack", seq: number(1), batches: number(2), bytes: number(3) };
    case 3:
      return { kind: "refusal", seq: number(1), laterAfterMs: said.has(4) ? number(4) : undefined, why: text(5) };
    case 4:
      return { kind: "throttle", batches: number(1), bytes: number(2), minIntervalMs: number(3) };
    case 5:
      return { kind: "command", id: big(1), device: text(2), name: text(3), payload: text(4) };
    case 6:
      return { kind: "goodbye", reconnectAfterMs: number(3) };
    case 7:
      return { kind: "desired", version: big(1), device: text(2), document: text(3) };
    default:
      return { kind: "unknown" };
  }
}

function fields(bytes: Buffer): Map<number, bigint | Buffer> {
  const found = new Map<number, bigint | Buffer>();
  let at = 0;
  const number = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes.readUInt8(at++);
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const key = Number(number());
    const kind = key & 7;
    if (kind === 0) {
      found.set(key >> 3, number());
      continue;
    }
    if (kind !== 1 && kind !== 2 && kind !== 5) throw new RangeError(`wire type ${kind}`);
    const size = kind === 2 ? Number(number()) : kind === 1 ? 8 : 4;
    if (at + size > bytes.length) throw new RangeError("a message breaks off");
    found.set(key >> 3, bytes.subarray(at, at + size));
    at += size;
  }
  return found;
}
