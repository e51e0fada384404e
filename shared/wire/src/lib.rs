//! Everything that crosses MQTT or node-controller HTTP.
