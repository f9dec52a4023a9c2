"""OpenTelemetry's SDK and its OTLP exporter, as they are installed from PyPI.

otlp.py URL KEY: for each line on stdin ("export") it measures, exports, and writes a line of JSON: whether the exporter
says that it succeeded, and what it exported, as the values that are to be found again.
"""

import json
import sys

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics import export as sdk
from opentelemetry.sdk.metrics._internal.exponential_histogram.mapping.exponent_mapping import ExponentMapping
from opentelemetry.sdk.metrics._internal.exponential_histogram.mapping.logarithm_mapping import LogarithmMapping
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource


class Noting(OTLPMetricExporter):
    """The exporter, and what it was given last."""

    def export(self, metrics_data, timeout_millis=10_000, **kwargs):
        self.exported = metrics_data
        self.result = super().export(metrics_data, timeout_millis, **kwargs)
        return self.result


def bound(scale, index):
    """The upper bound of a bucket, as the SDK itself computes it."""
    mapping = LogarithmMapping(scale) if scale > 0 else ExponentMapping(scale)
    return mapping.get_lower_boundary(index + 1)


def values(data):
    for resource in data.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    tags = {key: json.dumps(value).strip("\"") for key, value in (point.attributes or {}).items()}
                    if getattr(metric.data, "aggregation_temporality", None) == sdk.AggregationTemporality.DELTA:
                        tags["temporality"] = "delta"
                    for name, le, value in parts(metric, point):
                        yield [name, tags, le, point.time_unix_nano, value]


def parts(metric, point):
    name = metric.name
    if isinstance(metric.data, (sdk.Gauge, sdk.Sum)):
        yield name, None, point.value
        return
    yield f"{name}.count", None, point.count
    for part in ["sum", "min", "max"]:
        yield f"{name}.{part}", None, float(getattr(point, part))
    total = 0
    if isinstance(metric.data, sdk.Histogram):
        for upper, count in zip([*point.explicit_bounds, "inf"], point.bucket_counts):
            total += count
            yield f"{name}.bucket", upper, total
        return
    offset, counts = point.negative.offset, point.negative.bucket_counts
    for index, count in reversed(list(enumerate(counts, offset))):
        total += count
        if count:
            yield f"{name}.bucket", -bound(point.scale, index - 1), total
    total += point.zero_count
    if point.zero_count:
        yield f"{name}.bucket", 0, total
    for index, count in enumerate(point.positive.bucket_counts, point.positive.offset):
        total += count
        if count:
            yield f"{name}.bucket", bound(point.scale, index), total
    yield f"{name}.bucket", "inf", total


def main():
    url, key = sys.argv[1:]
    headers = {"authorization": f"Bearer {key}"} if key else None
    exporter = Noting(f"{url}/v1/metrics", headers=headers, compression=Compression.Gzip, timeout=90,
                      preferred_temporality={Histogram: sdk.AggregationTemporality.CUMULATIVE})
    reader = sdk.PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000, export_timeout_millis=90_000)
    view = View(instrument_name="force", aggregation=ExponentialBucketHistogramAggregation())
    resource = Resource.create({"device": "press-7", "service.name": "press", "deployment.environment.name": "test"})
    provider = MeterProvider([reader], resource, views=[view])
    meter = provider.get_meter("tests")
    strokes = meter.create_counter("press.strokes", unit="1")
    level = meter.create_up_down_counter("oil.level", unit="l")
    temperature = meter.create_gauge("oil.temperature", unit="Cel")
    duration = meter.create_histogram("stroke.duration", unit="s")
    force = meter.create_histogram("force", unit="kN")
    for turn, _ in enumerate(sys.stdin, 1):
        for side in ["left", "right"]:
            strokes.add(turn, {"side": side, "hot": turn > 1})
        level.add(0.1 if turn % 2 else -0.3)
        temperature.set(20 + turn / 3, {"at": "pump"})
        for i in range(50):
            duration.record(0.001 * 1.3**i, {"side": "left"})
            force.record((0.3 + turn) ** (i % 9 - 4) if i % 11 else 0)
        provider.force_flush(90_000)
        succeeded = exporter.result == sdk.MetricExportResult.SUCCESS
        print(json.dumps({"succeeded": succeeded, "values": list(values(exporter.exported))}), flush=True)


main()
