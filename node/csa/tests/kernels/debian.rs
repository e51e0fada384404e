//! Debian's libdvbcsa, opened at run time: the oracle of the tests and the yardstick of the bench.
//!
//! Only ever linked into tests and benches. The product neither needs nor finds it.
#![expect(unsafe_code, reason = "calls into a C library")]

use libloading::os::unix::{Library as Shared, Symbol};
use std::ffi::c_void;

const NAME: &str = "libdvbcsa.so.1";
const WHOLE: &str = "libdvbcsa has the functions of its header";

type Alloc = unsafe extern "C" fn() -> *mut c_void;
type Free = unsafe extern "C" fn(*mut c_void);
type Set = unsafe extern "C" fn(*const u8, *mut c_void);
type One = unsafe extern "C" fn(*const c_void, *mut u8, u32);
type Many = unsafe extern "C" fn(*const c_void, *const Item, u32);
type Size = unsafe extern "C" fn() -> u32;

/// One payload of a batch; a null pointer ends the list.
#[repr(C)]
struct Item {
    data: *mut u8,
    len: u32,
}

/// The opened library.
pub(crate) struct Library {
    functions: Functions,
    _shared: Shared,
}

struct Functions {
    alloc: Symbol<Alloc>,
    free: Symbol<Free>,
    set: Symbol<Set>,
    encrypt: Symbol<One>,
    decrypt: Symbol<One>,
    batch_alloc: Symbol<Alloc>,
    batch_free: Symbol<Free>,
    batch_set: Symbol<Set>,
    batch_encrypt: Symbol<Many>,
    batch_decrypt: Symbol<Many>,
    batch_size: Symbol<Size>,
}

impl Library {
    /// Opens the library, or says how to install it.
    pub(crate) fn open() -> Self {
        // SAFETY: libdvbcsa has no constructors that could do harm, and the types are those of its header dvbcsa.h.
        unsafe {
            let shared = Shared::new(NAME).unwrap_or_else(|error| {
                panic!("{NAME} is not here ({error}); `make setup` installs Debian's libdvbcsa-dev")
            });
            let functions = Functions {
                alloc: shared.get(b"dvbcsa_key_alloc\0").expect(WHOLE),
                free: shared.get(b"dvbcsa_key_free\0").expect(WHOLE),
                set: shared.get(b"dvbcsa_key_set\0").expect(WHOLE),
                encrypt: shared.get(b"dvbcsa_encrypt\0").expect(WHOLE),
                decrypt: shared.get(b"dvbcsa_decrypt\0").expect(WHOLE),
                batch_alloc: shared.get(b"dvbcsa_bs_key_alloc\0").expect(WHOLE),
                batch_free: shared.get(b"dvbcsa_bs_key_free\0").expect(WHOLE),
                batch_set: shared.get(b"dvbcsa_bs_key_set\0").expect(WHOLE),
                batch_encrypt: shared.get(b"dvbcsa_bs_encrypt\0").expect(WHOLE),
                batch_decrypt: shared.get(b"dvbcsa_bs_decrypt\0").expect(WHOLE),
                batch_size: shared.get(b"dvbcsa_bs_batch_size\0").expect(WHOLE),
            };
            Self { functions, _shared: shared }
        }
    }

    /// Packets of a full batch.
    pub(crate) fn batch_size(&self) -> usize {
        // SAFETY: takes nothing and returns a number.
        unsafe { (self.functions.batch_size)() as usize }
    }

    /// A control word made ready.
    pub(crate) fn key(&self, word: [u8; 8]) -> Key<'_> {
        // SAFETY: the words are eight bytes, the contexts come from the library's own allocators.
        unsafe {
            let (one, batch) = ((self.functions.alloc)(), (self.functions.batch_alloc)());
            assert!(!one.is_null() && !batch.is_null(), "libdvbcsa is out of memory");
            (self.functions.set)(word.as_ptr(), one);
            (self.functions.batch_set)(word.as_ptr(), batch);
            Key { library: self, one, batch }
        }
    }
}

/// A control word in the library's two forms.
pub(crate) struct Key<'l> {
    library: &'l Library,
    one: *mut c_void,
    batch: *mut c_void,
}

impl Key<'_> {
    /// Scrambles one payload.
    pub(crate) fn encrypt(&self, payload: &mut [u8]) {
        self.one(&self.library.functions.encrypt, payload);
    }

    /// Descrambles one payload.
    pub(crate) fn decrypt(&self, payload: &mut [u8]) {
        self.one(&self.library.functions.decrypt, payload);
    }

    /// Scrambles payloads in batches.
    pub(crate) fn encrypt_batch<'p>(&self, payloads: impl IntoIterator<Item = &'p mut [u8]>) {
        self.many(&self.library.functions.batch_encrypt, payloads);
    }

    /// Descrambles payloads in batches.
    pub(crate) fn decrypt_batch<'p>(&self, payloads: impl IntoIterator<Item = &'p mut [u8]>) {
        self.many(&self.library.functions.batch_decrypt, payloads);
    }

    fn one(&self, run: &Symbol<One>, payload: &mut [u8]) {
        let bytes = u32::try_from(payload.len()).expect("a payload is short");
        // SAFETY: the context lives as long as `self`, and the payload is as long as said.
        unsafe { run(self.one, payload.as_mut_ptr(), bytes) }
    }

    fn many<'p>(&self, run: &Symbol<Many>, payloads: impl IntoIterator<Item = &'p mut [u8]>) {
        let size = self.library.batch_size();
        let mut list = Vec::with_capacity(size + 1);
        let mut payloads = payloads.into_iter().peekable();
        while payloads.peek().is_some() {
            list.clear();
            list.extend(payloads.by_ref().take(size).map(|payload| {
                let len = u32::try_from(payload.len()).expect("a payload is short");
                Item { data: payload.as_mut_ptr(), len }
            }));
            list.push(Item { data: std::ptr::null_mut(), len: 0 });
            // SAFETY: the context lives as long as `self`; the list ends with null and has at most a batch of payloads,
            // all exclusively borrowed until this function returns.
            unsafe { run(self.batch, list.as_ptr(), 184) }
        }
    }
}

impl Drop for Key<'_> {
    fn drop(&mut self) {
        // SAFETY: each came from the matching allocator and is freed once.
        unsafe {
            (self.library.functions.free)(self.one);
            (self.library.functions.batch_free)(self.batch);
        }
    }
}
