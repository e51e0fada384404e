//! MQTT from anybody: topics and bodies are read or refused, and what is read is written the same way again.
#![no_main]

use headend_wire::{Birth, Desired, Event, Health, Message, Reported, Signed, Topic, VerifyingKey, Will};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &[u8])| {
    let (topic, body) = input;
    if let Ok(read) = topic.parse::<Topic>() {
        assert_eq!(read.to_string(), topic);
    }
    let _ = Message::<Birth>::from_bytes(body);
    let _ = Message::<Health>::from_bytes(body);
    let _ = Message::<Event>::from_bytes(body);
    let _ = Message::<Reported>::from_bytes(body);
    let _ = Message::<Will>::from_bytes(body);
    if let Ok(message) = Message::<Signed>::from_bytes(body) {
        let key = VerifyingKey::from_bytes(&[0; 32]);
        assert!(key.is_err() || key.is_ok_and(|key| message.body.open::<Desired>("desired", &key).is_err()));
    }
});
