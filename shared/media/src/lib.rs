//! Sans-IO transport stream, packaging and playlists.
