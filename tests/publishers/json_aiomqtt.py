"""JSON by aiomqtt: `connect`, `send TOPIC TEXT`, `stream TOPIC FROM TO`, `leave`; at QoS 1.

A stream is as that of json_paho.py, but waits for each acknowledgement before it publishes the next.
"""

import asyncio
import ssl

import aiomqtt

from conversation import arguments, converse, numbered, say

options = arguments(__doc__).parse_args()


async def main():
    loop = asyncio.get_running_loop()
    client = aiomqtt.Client(
        options.host,
        options.port,
        identifier=options.id,
        username=options.username,
        password=options.password,
        tls_context=ssl.create_default_context(cafile=options.ca) if options.ca else None,
    )

    async def stream(topic, first, last):
        for number in range(int(first), int(last) + 1):
            await client.publish(topic, numbered(number), qos=1)
            say("heard acked", number)

    def run(coroutine):
        asyncio.run_coroutine_threadsafe(coroutine, loop).result(120)

    await asyncio.to_thread(converse, {
        "connect": lambda: run(client.__aenter__()),
        "send": lambda topic, *text: run(client.publish(topic, " ".join(text), qos=1)),
        "stream": lambda *words: run(stream(*words)),
        "leave": lambda: run(client.__aexit__(None, None, None)),
    })


asyncio.run(main())
