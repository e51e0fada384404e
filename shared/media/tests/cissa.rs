//! DVB-CISSA beside OpenSSL: packets with every length of payload, scrambled by us, made clear by the `openssl` program.

use headend_media::cissa::{Cissa, Parity};
use headend_media::crypt::Key128;
use std::io::Write;
use std::process::{Command, Stdio};

const KEY: [u8; 16] = [0x2B, 0x7E, 0x15, 0x16, 0x28, 0xAE, 0xD2, 0xA6, 0xAB, 0xF7, 0x15, 0x88, 0x09, 0xCF, 0x4F, 0x3C];

/// The fixed vector, "DVBTMCPTAESCISSA".
const IV: &str = "445642544d4350544145534349535341";

fn openssl(blocks: &[u8]) -> Vec<u8> {
    let key: String = KEY.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut child = Command::new("openssl")
        .args(["enc", "-d", "-aes-128-cbc", "-nopad", "-K", &key, "-iv", IV])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl is not here; `make setup` installs it");
    child.stdin.take().expect("stdin is piped").write_all(blocks).expect("openssl reads");
    let output = child.wait_with_output().expect("openssl ends");
    assert!(output.status.success());
    output.stdout
}

#[test]
fn openssl_reads_what_we_scramble() {
    let mut service = Cissa::new();
    service.set(Parity::Odd, &Key128::new(KEY));
    for adaptation in (1..184u8).step_by(5) {
        let mut packet: [u8; 188] = std::array::from_fn(|n| (n * 73).to_le_bytes()[0]);
        packet[..5].copy_from_slice(&[0x47, 0x00, 0x64, 0x30, adaptation - 1]);
        let clear = packet;
        assert!(service.scramble(&mut packet, Parity::Odd));
        let start = 4 + usize::from(adaptation);
        let blocks = start..188 - (188 - start) % 16;
        assert_eq!(openssl(&packet[blocks.clone()]), clear[blocks.clone()], "{adaptation} bytes of adaptation field");
        assert_eq!(packet[blocks.end..], clear[blocks.end..]);
    }
}
