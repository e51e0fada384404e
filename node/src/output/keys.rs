//! The day keys a node holds, and the content key of a segment.
//!
//! A node knows nothing but the day keys of its own channels, a few days ahead. They arrive over mutual TLS,
//! lie on the disk sealed under a key of this machine, and are dropped when their day is long past. Deriving a
//! period's key needs nobody, so rotation goes on with every controller gone.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        RwLock,
        atomic::{AtomicU32, Ordering},
    },
};

use headend_access::{AddressKey, Day, DayKey, Generation, PathKey, PeriodKey, PeriodKeyId, Schedule};
use headend_rt::atomic_file;
use headend_wire::{ChannelName, fleet::DayKeyEntry};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Days that a key is kept after its own, so that what is still in the window or the archive can be served.
const DAYS_KEPT: u32 = 8;

/// The most day keys held: 300 channels for a month of archive and the days ahead; about 200 bytes each.
const KEYS_MAX: usize = 300 * 40;

/// Why keys could not be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum KeyStoreError {
    /// The machine's own storage key is missing and cannot be made, or is damaged.
    #[error("storage key {path}")]
    StorageKey {
        /// Where it should be.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The sealed keys cannot be written.
    #[error("write day keys to {path}")]
    Write {
        /// Where.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The operating system gives no random bytes.
    #[error("no random bytes from the system")]
    Random,
    /// A delivered key is not 64 hexadecimal digits.
    #[error("a delivered day key of {channel} is not 64 hexadecimal digits")]
    Malformed {
        /// Its channel.
        channel: ChannelName,
    },
}

type KeyName = (ChannelName, Generation, Day);

/// Every day key of this node, in memory and sealed on disk.
pub struct KeyStore {
    path: PathBuf,
    storage_key: Zeroizing<[u8; 32]>,
    keys: RwLock<HashMap<KeyName, DayKey>>,
    /// The first day of which anything is archived.
    archived_since: AtomicU32,
}

#[derive(Serialize, Deserialize)]
struct SealedEntry {
    channel: ChannelName,
    generation: Generation,
    day: Day,
    sealed: String,
}

impl KeyStore {
    /// Opens the store below `state_dir`, making this machine's storage key at the first start.
    ///
    /// A sealed key that no longer opens is left out and counted: the controller sends it again.
    ///
    /// # Errors
    /// [`KeyStoreError::StorageKey`] when the storage key can be neither read nor made.
    pub fn open(state_dir: &Path) -> Result<(Self, usize), KeyStoreError> {
        let storage_key = storage_key(&state_dir.join("storage.key"))?;
        let path = state_dir.join("day-keys.json");
        let (mut keys, mut refused) = (HashMap::new(), 0);
        let text = fs::read(&path).unwrap_or_default();
        let entries: Vec<SealedEntry> = serde_json::from_slice(&text).unwrap_or_default();
        for entry in entries.into_iter().take(KEYS_MAX) {
            let opened = from_hex(&entry.sealed).and_then(|sealed| {
                DayKey::open(&storage_key, entry.channel.as_str(), entry.generation, entry.day, &sealed).ok()
            });
            match opened {
                Some(key) => drop(keys.insert((entry.channel, entry.generation, entry.day), key)),
                None => refused += 1,
            }
        }
        let archived_since = AtomicU32::new(u32::MAX);
        Ok((Self { path, storage_key, keys: RwLock::new(keys), archived_since }, refused))
    }

    /// Takes what the controller delivered, forgets what is long past `today`, and writes the rest sealed.
    ///
    /// # Errors
    /// [`KeyStoreError`]; what was held before is still held in memory.
    pub fn take(&self, delivered: &[DayKeyEntry], today: Day) -> Result<(), KeyStoreError> {
        let mut fresh = vec![];
        for entry in delivered.iter().take(KEYS_MAX) {
            let malformed = || KeyStoreError::Malformed { channel: entry.channel.clone() };
            let bytes = Zeroizing::new(from_hex(&entry.key).ok_or_else(malformed)?);
            let secret = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| malformed())?;
            let (generation, day) = (Generation(entry.generation), Day(entry.day));
            let key = DayKey::new(entry.channel.as_str(), generation, day, secret);
            fresh.push(((entry.channel.clone(), generation, day), key));
        }
        let entries = {
            let mut keys = self.keys.write().expect("no holder of this lock panics");
            keys.extend(fresh);
            // A key period may reach over midnight.
            let archived = self.archived_since.load(Ordering::Relaxed).saturating_sub(1);
            keys.retain(|(_, _, day), _| day.0 + DAYS_KEPT >= today.0 || day.0 >= archived);
            let mut entries = vec![];
            for ((channel, generation, day), key) in keys.iter() {
                let sealed = to_hex(&key.seal(&self.storage_key, random16()?));
                entries.push(SealedEntry { channel: channel.clone(), generation: *generation, day: *day, sealed });
            }
            entries
        };
        let text = serde_json::to_vec(&entries).expect("names and digits have a JSON form");
        atomic_file::write(&self.path, &text, 0o600)
            .map_err(|source| KeyStoreError::Write { path: self.path.clone(), source: io::Error::other(source) })
    }

    /// Keeps keys from this day on, because something is archived from then; none: nothing is.
    pub fn keep_since(&self, day: Option<Day>) {
        self.archived_since.store(day.map_or(u32::MAX, |day| day.0), Ordering::Relaxed);
    }

    /// The key of the segment whose nominal start is `start_ms`, with its id; none when its day key is not here.
    pub fn segment_key(
        &self,
        channel: &ChannelName,
        generation: Generation,
        schedule: &Schedule,
        start_ms: u64,
    ) -> Option<(PeriodKeyId, PeriodKey)> {
        let period = schedule.period_of(start_ms);
        let id = PeriodKeyId { generation, period };
        self.key_of(channel, schedule, id).map(|key| (id, key))
    }

    /// The content key of an id that somebody asks for.
    pub fn key_of(&self, channel: &ChannelName, schedule: &Schedule, id: PeriodKeyId) -> Option<PeriodKey> {
        self.with_day_key(channel, schedule, id, |day_key| day_key.period_key(id.period))
    }

    /// The key that signs and checks addresses of a content key.
    pub fn address_key(&self, channel: &ChannelName, schedule: &Schedule, id: PeriodKeyId) -> Option<AddressKey> {
        self.with_day_key(channel, schedule, id, DayKey::address_key)
    }

    /// The key that makes and checks marks in the paths of a channel's segments.
    pub fn path_key(&self, channel: &ChannelName, generation: Generation, day: Day) -> Option<PathKey> {
        let keys = self.keys.read().expect("no holder of this lock panics");
        keys.get(&(channel.clone(), generation, day)).map(DayKey::path_key)
    }

    /// The last day for which every one of `wanted` has a key without a hole from `today` on.
    pub fn complete_until(&self, wanted: &[(ChannelName, Generation)], today: Day) -> Option<Day> {
        let keys = self.keys.read().expect("no holder of this lock panics");
        let complete =
            |day: Day| !wanted.is_empty() && wanted.iter().all(|(name, g)| keys.contains_key(&(name.clone(), *g, day)));
        (today.0..).map(Day).take_while(|day| complete(*day)).last()
    }

    fn with_day_key<T>(
        &self,
        channel: &ChannelName,
        schedule: &Schedule,
        id: PeriodKeyId,
        read: impl FnOnce(&DayKey) -> T,
    ) -> Option<T> {
        let name = (channel.clone(), id.generation, schedule.day_of(id.period));
        self.keys.read().expect("no holder of this lock panics").get(&name).map(read)
    }
}

/// Reads this machine's storage key, or makes it: 32 bytes, readable by this user alone.
fn storage_key(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyStoreError> {
    let broken = |source| KeyStoreError::StorageKey { path: path.to_path_buf(), source };
    match fs::read(path).map(Zeroizing::new) {
        Ok(bytes) => <[u8; 32]>::try_from(bytes.as_slice()).map(Zeroizing::new).map_err(|_| {
            let text = "holds not 32 bytes; remove it with day-keys.json and the controller sends the keys again";
            broken(io::Error::new(io::ErrorKind::InvalidData, text))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut key = Zeroizing::new([0; 32]);
            getrandom::fill(&mut *key).map_err(|_| KeyStoreError::Random)?;
            atomic_file::write(path, &*key, 0o600).map_err(|source| broken(io::Error::other(source)))?;
            Ok(key)
        }
        Err(error) => Err(broken(error)),
    }
}

fn random16() -> Result<[u8; 16], KeyStoreError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| KeyStoreError::Random)?;
    Ok(bytes)
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |d: u8| char::from(d).to_digit(16).and_then(|value| u8::try_from(value).ok());
    digits.chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    use headend_access::Root;

    use super::*;

    const NOON: u64 = 20_000 * 86_400_000 + 43_200_000;

    fn delivery(root: &Root, channel: &ChannelName, days: impl Iterator<Item = u32>) -> Vec<DayKeyEntry> {
        let generation = root.generation().0;
        let key = |day| to_hex(root.day_key(channel.as_str(), Day(day)).reveal());
        days.map(|day| DayKeyEntry { channel: channel.clone(), generation, day, key: key(day) }).collect()
    }

    #[test]
    fn a_restarted_node_derives_what_the_controller_derives() {
        let (folder, root) = (tempfile::tempdir().expect("folder"), Root::new(Generation(3), [9; 32]));
        let channel: ChannelName = "fr/france2".parse().expect("name");
        let (store, _) = KeyStore::open(folder.path()).expect("opens");
        store.take(&delivery(&root, &channel, 20_000..20_004), Day(20_000)).expect("kept");
        drop(store);

        let (store, refused) = KeyStore::open(folder.path()).expect("opens again");
        assert_eq!(refused, 0);
        let schedule = Schedule::new(channel.as_str(), 300_000).expect("schedule");
        let (id, key) = store.segment_key(&channel, Generation(3), &schedule, NOON).expect("key");
        let theirs = root.day_key(channel.as_str(), schedule.day_of(id.period)).period_key(id.period);
        assert_eq!(key.bytes(), theirs.bytes());
        let wanted = [(channel, Generation(3))];
        assert_eq!(store.complete_until(&wanted, Day(20_000)), Some(Day(20_003)));
        assert_eq!(store.complete_until(&wanted, Day(20_004)), None);
    }

    #[test]
    fn a_stolen_disk_shows_no_key() {
        let (folder, root) = (tempfile::tempdir().expect("folder"), Root::new(Generation(1), [5; 32]));
        let channel: ChannelName = "tf1".parse().expect("name");
        let (store, _) = KeyStore::open(folder.path()).expect("opens");
        let entries = delivery(&root, &channel, 20_000..20_001);
        store.take(&entries, Day(20_000)).expect("kept");
        let text = fs::read_to_string(folder.path().join("day-keys.json")).expect("file");
        assert!(!text.contains(&entries[0].key), "the key lies in the clear");

        fs::write(folder.path().join("storage.key"), [1; 32]).expect("another machine's key");
        let (_, refused) = KeyStore::open(folder.path()).expect("opens");
        assert_eq!(refused, 1);
    }

    #[test]
    fn keys_are_kept_as_long_as_the_archive() {
        let (folder, root) = (tempfile::tempdir().expect("folder"), Root::new(Generation(1), [5; 32]));
        let channel: ChannelName = "tf1".parse().expect("name");
        let (store, _) = KeyStore::open(folder.path()).expect("opens");
        store.keep_since(Some(Day(100)));
        store.take(&delivery(&root, &channel, 98..102), Day(100)).expect("kept");
        store.take(&[], Day(130)).expect("kept");
        let schedule = Schedule::new("tf1", 300_000).expect("schedule");
        let key = |day: u64| store.segment_key(&channel, Generation(1), &schedule, day * 86_400_000 + 43_200_000);
        assert_eq!([98, 99, 100, 101].map(|day| key(day).is_some()), [false, true, true, true]);
        store.keep_since(None);
        store.take(&[], Day(130)).expect("kept");
        assert!(key(101).is_none());
    }

    #[test]
    fn old_days_are_forgotten() {
        let (folder, root) = (tempfile::tempdir().expect("folder"), Root::new(Generation(1), [5; 32]));
        let channel: ChannelName = "tf1".parse().expect("name");
        let (store, _) = KeyStore::open(folder.path()).expect("opens");
        store.take(&delivery(&root, &channel, 100..102), Day(100)).expect("kept");
        store.take(&[], Day(101 + DAYS_KEPT)).expect("kept");
        let schedule = Schedule::new("tf1", 300_000).expect("schedule");
        let key = |day: u64| store.segment_key(&channel, Generation(1), &schedule, day * 86_400_000 + 43_200_000);
        assert!(key(100).is_none());
        assert!(key(101).is_some());
    }
}
