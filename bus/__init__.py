"""The vocabulary and the transport: events, frames, publishing, subscribing."""
