"""JSON by paho-mqtt: `connect`, `send TOPIC TEXT`, `retain TOPIC TEXT`, `stream TOPIC FROM TO`, `leave`.

QoS 1 unless --qos says else. `stream` publishes {"n":FROM,"at":MS} … {"n":TO,"at":MS}, no two at the same millisecond,
and tells `heard acked N` for each that the broker has acknowledged.
"""

import threading

import paho.mqtt.client as mqtt

from conversation import arguments, converse, numbered, say

parser = arguments(__doc__)
parser.add_argument("--qos", type=int, default=1)
parser.add_argument("--mqtt", type=int, choices=(3, 5), default=5)
options = parser.parse_args()

# A stream must not outrun the broker: as many messages may wait for their acknowledgement.
UNDER_WAY = 200

protocol = mqtt.MQTTv5 if options.mqtt == 5 else mqtt.MQTTv311
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=options.id, protocol=protocol)
client.max_inflight_messages_set(UNDER_WAY)
if options.ca:
    client.tls_set(ca_certs=options.ca)
if options.username:
    client.username_pw_set(options.username, options.password)

connected = threading.Event()
refused = []
# Messages of a stream under way: number by id, or None if the acknowledgement came before the number was noted.
numbers = {}
numbers_lock = threading.Lock()
free = threading.Semaphore(UNDER_WAY)


def on_connect(client, userdata, flags, reason_code, properties):
    if reason_code.is_failure:
        refused.append(str(reason_code))
    connected.set()


def on_publish(client, userdata, mid, reason_code, properties):
    with numbers_lock:
        number = numbers.pop(mid) if mid in numbers else numbers.setdefault(mid)
    if number is not None:
        acked(number)


def acked(number):
    free.release()
    say("heard acked", number)


client.on_connect = on_connect
client.on_publish = on_publish


def connect():
    client.connect(options.host, options.port, keepalive=30)
    client.loop_start()
    if not connected.wait(30) or refused:
        raise RuntimeError(refused or "no CONNACK")


def publish(topic, text, retain=False):
    info = client.publish(topic, text, qos=options.qos, retain=retain)
    info.wait_for_publish(30)
    if not info.is_published():
        raise RuntimeError("no PUBACK")
    with numbers_lock:
        numbers.pop(info.mid, None)


def stream(topic, first, last):
    for number in range(int(first), int(last) + 1):
        free.acquire()
        mid = client.publish(topic, numbered(number), qos=options.qos).mid
        with numbers_lock:
            early = mid in numbers
            if early:
                del numbers[mid]
            else:
                numbers[mid] = number
        if early:
            acked(number)


converse({
    "connect": connect,
    "send": lambda topic, *text: publish(topic, " ".join(text)),
    "retain": lambda topic, *text: publish(topic, " ".join(text), retain=True),
    "stream": stream,
    "leave": lambda: client.disconnect() and None,
})
