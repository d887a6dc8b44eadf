"""The picture and the input of one session: frames in, H.264 over WebRTC out, keys back."""
