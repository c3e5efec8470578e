"""A Scrapy spider as people write them: it follows every link, has an item a page, counts what went wrong.

scrapy runspider crawl.py -a site=http://127.0.0.1:1234/ -O items.json
"""

import json

import scrapy


class Site(scrapy.Spider):
    name = "site"
    handle_httpstatus_list = [404, 500]
    custom_settings = {
        "CONCURRENT_REQUESTS": 32,
        "CONCURRENT_REQUESTS_PER_DOMAIN": 32,
        "DOWNLOAD_DELAY": 0,
        "RETRY_ENABLED": False,
        "TELNETCONSOLE_ENABLED": False,
    }

    def __init__(self, site, **kwargs):
        super().__init__(**kwargs)
        self.start_urls = [site]

    async def parse(self, response):
        if response.status != 200:
            yield {"path": response.url.split("/", 3)[3], "status": response.status}
            return
        yield {
            "path": response.url.split("/", 3)[3],
            "status": 200,
            "title": response.css("title::text").get(),
            "words": len(response.css("p::text").get().split()),
            "encoding": response.headers.get("X-Was", b"").decode(),
            "came_by": response.meta.get("redirect_times", 0),
        }
        for link in response.css("a"):
            yield response.follow(link, self.parse)

    def closed(self, reason):
        from twisted.internet import reactor
        from twisted.internet.defer import Deferred

        stats = self.crawler.stats.get_stats()
        kept = {key: value for key, value in stats.items() if "count" in key and "log_count" not in key}
        kept.pop("downloader/request_bytes", None)
        print(type(reactor).__name__, Deferred.__module__)
        print(json.dumps([reason, kept], sort_keys=True))
