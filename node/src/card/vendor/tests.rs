//! Modules that serve, die, hang, flood and babble: this test binary, started anew as the module.

use std::os::fd::AsRawFd;

use super::*;

/// The module under test is the test function of this name.
fn vendor(role: &str) -> Vendor {
    let arguments = [&format!("card::vendor::tests::{role}"), "--exact", "--nocapture"].map(str::to_owned);
    let module = std::env::current_exe().unwrap();
    let mut vendor = Vendor::new(VendorSpec { module, arguments: arguments.to_vec(), sandbox: vec![] });
    vendor.reply_max = Duration::from_secs(5);
    vendor
}

fn ecm() -> Task {
    Task::Ecm { system: 0x0B00, section: [0x80, 0x70, 1, 9].into() }
}

fn said(step: Step) -> String {
    match step {
        Step::Transmit(command) => format!("transmit {:02X?}", command.bytes()),
        Step::Done(Ok(outcome)) => format!("{outcome:?}"),
        Step::Done(Err(trouble)) => trouble.to_string(),
    }
}

/// The module's side: what it is told, for as long as somebody talks; nothing when this is an ordinary test run.
fn told(mut answer: impl FnMut(&[u8]) -> Vec<Vec<u8>>) {
    let (stdin, mut buffer) = (io::stdin(), [0; MESSAGE_BYTES_MAX]);
    while let Ok(length @ 1..) = recv(stdin.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
        for message in answer(&buffer[..length]) {
            if send(stdin.as_raw_fd(), &message, MsgFlags::MSG_NOSIGNAL).is_err() {
                return;
            }
        }
    }
}

fn reply(asked: &[u8], kind: u8, body: &[u8]) -> Vec<u8> {
    [&[1, kind, asked[2], asked[3]], body].concat()
}

fn serve(asked: &[u8]) -> Vec<Vec<u8>> {
    vec![match asked[1] {
        0x01 => reply(asked, 0x81, b"Test"),
        0x02 => reply(asked, 0x82, b"\x01\x0B\0\x0591234\x01V"),
        0x04 => reply(asked, 0x86, &[0x80, 0x2A, 0, 0]),
        0x07 => reply(asked, 0x83, b"\x01\x0112345678"),
        0x06 => reply(asked, 0x85, b""),
        _ => return vec![],
    }]
}

#[test]
fn module_serves() {
    told(serve);
}

#[test]
fn module_dies() {
    told(|asked| if asked[1] == 0x04 { std::process::exit(3) } else { serve(asked) });
}

#[test]
fn module_hangs() {
    told(|asked| if asked[1] == 0x04 { vec![] } else { serve(asked) });
}

#[test]
fn module_floods() {
    told(|asked| if asked[1] == 0x04 { vec![b"\x01\x84\xFF\xFF\x01".to_vec(); 100_000] } else { serve(asked) });
}

#[test]
fn module_babbles() {
    told(|asked| if asked[1] == 0x04 { vec![vec![0x55; 4000]] } else { serve(asked) });
}

#[test]
fn a_module_is_asked_and_its_commands_are_carried() {
    let mut vendor = vendor("module_serves");
    let opened = "Opened(Identity { systems: [2816], label: \"V\", number_tail: \"1234\" })";
    vendor.inserted(&[0x3B, 0]);
    assert_eq!(said(vendor.begin(&Task::Open)), opened);
    assert_eq!(said(vendor.begin(&ecm())), "transmit [80, 2A, 00, 00]");
    assert_eq!(said(vendor.answer(&[0x90, 0])), "Words(Words { even: Some(Word(..)), odd: None })");
    vendor.removed();
    assert_eq!(said(vendor.begin(&Task::Entitlements)), "Entitlements([])");
}

fn check(role: &str, want: &str) {
    let mut vendor = vendor(role);
    assert_eq!(said(vendor.begin(&Task::Entitlements)), "Entitlements([])");
    if role == "module_hangs" {
        vendor.reply_max = Duration::from_millis(200);
    }
    assert_eq!(said(vendor.begin(&ecm())), format!("the vendor's module {want}"));
    // The next task finds a new module.
    vendor.reply_max = Duration::from_secs(5);
    assert_eq!(said(vendor.begin(&Task::Entitlements)), "Entitlements([])");
}

#[test]
fn a_module_that_fails_is_replaced() {
    check("module_dies", "ended");
    check("module_hangs", "hangs");
    check("module_floods", "floods");
    check("module_babbles", "speaks another version of the interface");
}

#[test]
fn a_module_that_is_not_there_is_said() {
    let mut vendor = vendor("module_serves");
    vendor.spec.module = "/nonexistent/module".into();
    assert_eq!(said(vendor.begin(&Task::Open)), "the vendor's module cannot be started");
}
