"""Holds a Realtime session through OpenAI's SDK while the gateway is reconfigured and drained.

The provider is served here as well, by the `websockets` library. Argument: JSON with base_url,
key, model, provider_port, provider_key, file and changed (what the file is overwritten
with), new_host (which that adds), and pid (of the gateway, to be told to stop).
"""

import asyncio
import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request

from openai import AsyncOpenAI
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

asked = json.loads(sys.argv[1])
seen = {}


def usage(input, output):
    return {"total_tokens": input + output, "input_tokens": input, "output_tokens": output}


async def provide(socket):
    """Answers each `response.create` with a response of 10 tokens in and 5 out."""
    seen["path"] = socket.request.path
    seen["key"] = socket.request.headers["authorization"]
    await socket.send(json.dumps({"type": "session.created", "event_id": "e0", "session": {}}))
    number = 0
    async for message in socket:
        if json.loads(message)["type"] != "response.create":
            continue
        number += 1
        response = {"id": f"r{number}", "object": "realtime.response", "output": []}
        # In two frames, as servers may.
        created = json.dumps({"type": "response.created", "event_id": "e1", "response": response})
        await socket.send([created[:30], created[30:]])
        delta = {"type": "response.output_text.delta", "event_id": "e2", "response_id": f"r{number}",
                 "item_id": "i", "output_index": 0, "content_index": 0, "delta": f"answer {number}"}
        await socket.send(json.dumps(delta))
        response |= {"status": "completed", "usage": usage(10, 5)}
        await socket.send(json.dumps({"type": "response.done", "event_id": "e3", "response": response}))


async def ask(connection):
    """Asks for a response, and gives its text and its usage."""
    await connection.response.create()
    text = ""
    async for event in connection:
        if event.type == "response.output_text.delta":
            text += event.delta
        if event.type == "response.done":
            return text, event.response.usage.total_tokens
        assert event.type != "error", event


def status_of(host):
    request = urllib.request.Request(asked["base_url"] + "/models")
    request.add_header("Host", host)
    request.add_header("Authorization", "Bearer " + asked["key"])
    try:
        return urllib.request.urlopen(request, timeout=10).status
    except urllib.error.HTTPError as error:
        return error.code


async def until(what, condition):
    deadline = time.monotonic() + 30
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.05)


async def main():
    client = AsyncOpenAI(base_url=asked["base_url"], api_key=asked["key"], max_retries=0)
    provider = serve(provide, "127.0.0.1", asked["provider_port"])
    opened = client.realtime.connect(model=asked["model"])
    async with provider, opened as connection:
        assert (await connection.recv()).type == "session.created"
        assert seen["path"] == "/v1/realtime?model=upstream-model", seen
        assert seen["key"] == "Bearer " + asked["provider_key"], seen
        assert await ask(connection) == ("answer 1", 15)

        # Route, provider, its key, consumer and quota all change under the open session.
        with open(asked["file"], "w", encoding="utf-8") as file:
            file.write(asked["changed"])
        await until("the change is in force", lambda: status_of(asked["new_host"]) == 200)
        assert await ask(connection) == ("answer 2", 15)

        os.kill(asked["pid"], signal.SIGTERM)
        await asyncio.sleep(0.5)
        assert await ask(connection) == ("answer 3", 15)
        farewell = await connection.recv()
        assert (farewell.type, farewell.error.code) == ("error", "going_away"), farewell
        try:
            await connection.recv()
        except ConnectionClosed as closed:
            assert (closed.rcvd.code, closed.rcvd.reason) == (1001, "going_away"), closed
        else:
            raise AssertionError("the session goes on")
    print("done")


asyncio.run(main())
