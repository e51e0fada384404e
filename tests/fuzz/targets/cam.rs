//! A hostile module in the common interface: every layer, every order, every moment; and what it is told of.

#![no_main]

use std::sync::LazyLock;

use headend_media::service::{Service, ServiceId};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

/// The pure half of the node's room, taken in as source: the node as a whole would bring its 200 packages along.
#[expect(dead_code, reason = "the shell's half of the interface is not used here")]
#[path = "../../../node/src/cam"]
mod cam {
    pub mod apdu;
    pub mod ca_pmt;
    mod length;
    pub mod link;
    pub mod list;
    pub mod module;
    pub mod screen;
    pub mod session;
}

use cam::{
    apdu,
    ca_pmt::{Programme, ServiceKey, reply},
    list::{Pacing, View},
    module::Module,
    screen::Reply,
};

static UTC: LazyLock<Timestamp> = LazyLock::new(|| "2026-03-01T12:34:56Z".parse().expect("a time"));

// Steps are cut at their lengths: a byte says what, a byte how long, then the bytes.
fuzz_target!(|bytes: &[u8]| {
    let mut module = Module::new(0, vec![], Pacing { settle_ms: 0, spacing_ms: 100, ..Pacing::default() });
    let (mut now_ms, mut rest) = (1_000, bytes);
    module.slot((true, true), now_ms);
    while let [what, length, behind @ ..] = rest {
        let (step, next) = behind.split_at(usize::from(*length).min(behind.len()));
        rest = next;
        now_ms += u64::from(*what >> 4) * 200;
        match what & 7 {
            0 => module.receive(step, now_ms, *UTC),
            // With a head that gets it to the sessions, and to the objects.
            1 => module.receive(&[&[0xA0, length.wrapping_add(1) & 0x7F, 1], step].concat(), now_ms, *UTC),
            2 => {
                let tag = 0x009F_8000 | u32::from(step.first().copied().unwrap_or(0)) << 4;
                let object = [&[1, 0x90, 2, 0, what >> 4], &apdu::object(tag, step)[..]].concat();
                let head = [0xA0, 0x82, (object.len() >> 8) as u8, object.len() as u8];
                module.receive(&[&head[..], &object].concat(), now_ms, *UTC);
            }
            3 => module.receive(&[0x83, 1, 1, 0x80, 2, 1, *length], now_ms, *UTC),
            4 => module.slot((length & 1 == 0, length & 2 == 0), now_ms),
            5 => {
                let service = Service { pmt_version: Some(*length), descriptors: step.to_vec(), ..Service::default() };
                let key = ServiceKey { input: "x".into(), service: ServiceId(u16::from(*length)) };
                if let Some(programme) = Programme::of(key, &service) {
                    module.list().set(std::slice::from_ref(&programme), now_ms);
                    module.list().see(&programme.key, View::Scrambled, now_ms);
                }
            }
            6 => {
                let _ = module.ask_menu();
                let _ = module.reply(u64::from(*length), &Reply::Choice(0));
            }
            _ => drop(reply(step)),
        }
        for _ in 0..100 {
            if module.next(now_ms, *UTC).is_none() {
                break;
            }
        }
    }
});
