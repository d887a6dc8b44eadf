"""A game on an X display: a window that turns white while a key or button is down, with a square at the pointer."""

import sys

from Xlib import X
from Xlib.display import Display


def main() -> None:
    display = Display()
    screen = display.screen()
    window = screen.root.create_window(
        *(0, 0, screen.width_in_pixels, screen.height_in_pixels, 0, screen.root_depth),
        background_pixel=screen.black_pixel,
        event_mask=X.ExposureMask
        | X.KeyPressMask
        | X.KeyReleaseMask
        | X.ButtonPressMask
        | X.ButtonReleaseMask
        | X.PointerMotionMask,
    )
    pen = window.create_gc(foreground=screen.white_pixel)
    window.map()
    display.sync()
    while True:
        event = display.next_event()
        if event.type in (X.KeyPress, X.ButtonPress):
            what = "key" if event.type == X.KeyPress else "button"
            print(what, event.detail, flush=True)
            window.fill_rectangle(pen, 0, 0, screen.width_in_pixels, screen.height_in_pixels)
        elif event.type in (X.KeyRelease, X.ButtonRelease):
            window.clear_area()
        elif event.type == X.MotionNotify:
            window.clear_area()
            window.fill_rectangle(pen, event.event_x - 20, event.event_y - 20, 40, 40)


if __name__ == "__main__":
    sys.exit(main())
