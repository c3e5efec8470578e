"""Step 6: a slow multiplication. It gives back a fuse at once, and the fuse burns with the result."""

from fate import Fate, Fuse


def slow_multiply(x: int, y: int) -> Fuse:
    result = fate.get_fuse()  # nothing lights it: it is burned by hand
    fate.call_later(0.3, result.burn, x * y)
    return result


def show() -> None:
    print(f"... result is {result.value}!")
    fate.shutdown()


fate = Fate()
print("Determining result of 5 * 7...")
result = slow_multiply(5, 7)
result.set_handler(show)
fate.run()
