//! Content-key roots, sealed under the machine's storage key, by generation. Nothing here
//! or in an export is of use without that key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use headend_access::{Generation, OpenError, Root};
use serde::{Deserialize, Serialize, de};

use super::table::Record;

/// A sealed root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedRoot {
    /// Which generation it is.
    pub generation: Generation,
    /// The sealed bytes, base64 in JSON.
    #[serde(serialize_with = "write_bytes", deserialize_with = "read_bytes")]
    pub sealed: Vec<u8>,
    /// When it was made, seconds since the Unix epoch.
    pub created_at: u64,
}

impl SealedRoot {
    /// Seals `root`; `iv` is 16 fresh random bytes.
    #[must_use]
    pub fn seal(root: &Root, storage_key: &[u8; 32], iv: [u8; 16], created_at: u64) -> Self {
        Self { generation: root.generation(), sealed: root.seal(storage_key, iv), created_at }
    }

    /// Opens it.
    ///
    /// # Errors
    /// [`OpenError`] when the storage key is another or the bytes were changed.
    pub fn open(&self, storage_key: &[u8; 32]) -> Result<Root, OpenError> {
        Root::open(storage_key, self.generation, &self.sealed)
    }
}

impl Record for SealedRoot {
    const FAMILY: &'static str = "roots";
    const VERSION: u8 = 1;
    type Key = Generation;

    fn key(&self) -> Generation {
        self.generation
    }

    fn key_text(key: &Generation) -> String {
        // Ten digits keep the order of numbers.
        format!("{:010}", key.0)
    }
}

fn write_bytes<S: serde::Serializer>(bytes: &[u8], out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(&STANDARD.encode(bytes))
}

fn read_bytes<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(input)?;
    STANDARD.decode(text).map_err(|_| de::Error::custom("not base64"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Draft, IdempotencyKey, MemoryEngine, Table};
    use std::sync::Arc;

    #[tokio::test]
    async fn a_kept_root_opens_with_its_storage_key_alone() {
        let engine = Arc::new(MemoryEngine::new());
        let table: Table<SealedRoot> = Table::new(engine.clone());
        let mut draft = Draft::new(IdempotencyKey::random("test"), 0);
        for generation in [2, 10, 1] {
            let root = Root::new(Generation(generation), [7; 32]);
            draft = draft.insert(&SealedRoot::seal(&root, &[1; 32], [9; 16], 5)).unwrap();
        }
        draft.commit(&*engine).await.unwrap();
        let all = table.all().await.unwrap();
        let generations: Vec<u32> = all.iter().map(|kept| kept.record.generation.0).collect();
        assert_eq!(generations, [1, 2, 10]);
        assert!(all[0].record.open(&[1; 32]).is_ok());
        assert!(all[0].record.open(&[2; 32]).is_err());
    }
}
