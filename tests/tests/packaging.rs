//! Packaging seen from outside: the same packets give the same bytes, and somebody else's AES opens them.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result, ensure};
use headend_tests::{client, player, program::Program, world};

const KEY: [u8; 16] = *b"0123456789abcdef";

type Files = BTreeMap<String, Vec<u8>>;

async fn package(file: &Path, folder: &Path, more: &[&str]) -> Result<Files> {
    let (file, out) = (file.display().to_string(), folder.display().to_string());
    let arguments: Vec<&str> = ["replay", &file, "--segments", &out].into_iter().chain(more.iter().copied()).collect();
    Program::run("headend-node", &arguments).await?;
    let mut files = Files::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        files.insert(entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path())?);
    }
    ensure!(!files.is_empty(), "no segment of {file}");
    Ok(files)
}

#[tokio::test]
async fn two_boxes_write_the_same_bytes_however_packets_arrive() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let key = folder.path().join("key");
    fs::write(&key, KEY)?;
    let key = key.display().to_string();
    for file in [world::content("lagon-france.ts"), world::fixture("h264-aac.ts"), world::fixture("france2.ts")] {
        let name = file.file_stem().context("name")?.to_string_lossy().into_owned();
        let mut boxes = vec![];
        for chunk in ["188", "1000", "65536", "9999999"] {
            let out = folder.path().join(format!("{name}-{chunk}"));
            boxes.push(package(&file, &out, &["--key-file", &key, "--chunk-bytes", chunk]).await?);
        }
        assert!(boxes.windows(2).all(|pair| pair[0] == pair[1]), "{name}: segments depend on how packets arrived");
    }
    Ok(())
}

#[tokio::test]
async fn openssl_opens_what_we_encrypt() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let key = folder.path().join("key");
    fs::write(&key, KEY)?;
    let file = world::content("horizon-caribbean.ts");
    let clear = package(&file, &folder.path().join("clear"), &[]).await?;
    let sealed = package(&file, &folder.path().join("sealed"), &["--key-file", &key.display().to_string()]).await?;
    assert_eq!(clear.keys().collect::<Vec<_>>(), sealed.keys().collect::<Vec<_>>());
    // 2023-11-14 22:13:20 UTC is segment 850000000 of 2 s.
    for (number, (clear, sealed)) in (850_000_000_u128..).zip(clear.values().zip(sealed.values())) {
        assert_ne!(clear, sealed);
        assert_eq!(&client::decrypt(sealed, &KEY, number).await?, clear, "segment {number}");
    }
    Ok(())
}

#[tokio::test]
async fn every_segment_decodes_alone_and_no_picture_is_lost() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = world::content("lagon-caribbean.ts");
    let segments = package(&file, &folder.path().join("clear"), &[]).await?;
    let mut pictures = 0;
    for (name, bytes) in &segments {
        let decoded = player::decode(bytes).await.with_context(|| name.clone())?;
        assert!(decoded.pictures > 0 && decoded.audio > 0, "{name}: {decoded:?}");
        pictures += decoded.pictures;
    }
    // 16 s at 25 pictures a second, less the last: nothing follows that would tell that it is whole.
    assert_eq!(pictures, 399);
    Ok(())
}
