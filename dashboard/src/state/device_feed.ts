// Feeds a device page: all series of one device, and what is known of it.

import * as api from '../link/api';
import type { Link } from '../link/link';
import type { DeviceInfo } from '../wire';
import { ChartFeed } from './chart_feed';
import type { Units } from './units';

export class DeviceFeed extends ChartFeed {
  info: DeviceInfo | null = null;

  constructor(
    readonly id: string,
    windows: readonly string[],
    link: Link,
    units: Units,
  ) {
    const describe = async () => {
      const { metrics, ...info } = await api.device(id);
      this.info = { ...info, ...this.info, ...(info.series === undefined ? {} : { series: info.series }) };
      return metrics.map((metric) => ({ ...metric, device: id }));
    };
    super({ devices: [id], metrics: null, wants: () => true, describe }, windows, link, units);
  }

  protected override inform(devices: DeviceInfo[]): void {
    const info = devices.find((device) => device.id === this.id);
    if (info !== undefined) this.info = { ...this.info, ...info };
  }
}
