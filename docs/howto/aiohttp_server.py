from aiohttp import web

import fate


async def hello(request: web.Request) -> web.Response:
    return web.Response(text="Hello from Fate\n")


app = web.Application()
app.router.add_get("/", hello)

if __name__ == "__main__":
    web.run_app(app, host="127.0.0.1", port=8080, loop=fate.new_event_loop())
