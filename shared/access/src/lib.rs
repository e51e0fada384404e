//! Playback tokens, key ids and the key schedule.
