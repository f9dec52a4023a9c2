// Units are told once per connection, on whichever subscription comes first, so they outlive every view. Most
// devices agree on the unit of a metric: only those that differ from the first cost anything.

export class Units {
  private readonly common = new Map<string, string>();
  private readonly special = new Map<string, string>();

  learn(device: string, units: Record<string, string>): void {
    for (const metric in units) {
      const unit = units[metric]!;
      const common = this.common.get(metric);
      if (common === undefined) this.common.set(metric, unit);
      else if (common === unit) this.special.delete(key(device, metric));
      else this.special.set(key(device, metric), unit);
    }
  }

  of(device: string, metric: string): string | null {
    return this.special.get(key(device, metric)) ?? this.common.get(metric) ?? null;
  }
}

const key = (device: string, metric: string): string => `${device}\n${metric}`;
