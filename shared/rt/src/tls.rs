//! TLS by rustls with the ring provider: certificates from PEM files, one crypto provider for the whole process.
//!
//! Server side with optional client certificates and revocation list (RFC 5280 §5); client side with an own authority
//! only, because our programs talk to each other and to nobody else. Keys others can read are refused, as secrets are.
//! Loading has no effect but reading files. A renewed certificate is put in with [`TlsHandle::replace`].

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::secret::{SecretError, SecretFile};

/// Why TLS could not be set up. Holds no key bytes.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM file could not be read, or holds something else than it should.
    #[error("read {what} from {}", path.display())]
    Pem {
        /// "certificate", "private key", ...
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the reader said.
        source: pem::Error,
    },
    /// A certificate file without a certificate.
    #[error("no {what} in {}", path.display())]
    Empty {
        /// "certificate", "revocation list".
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// The key file is missing, or others can read it.
    #[error("read private key")]
    Key(#[source] SecretError),
    /// The certificate of an authority is not usable as one.
    #[error("use authority {}", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// What rustls said.
        source: rustls::Error,
    },
    /// The check of client certificates could not be built, e.g. from a malformed revocation list.
    #[error("check client certificates with {}", path.display())]
    ClientCheck {
        /// The authority's file.
        path: PathBuf,
        /// What rustls said.
        source: VerifierBuilderError,
    },
    /// Certificate and key do not belong together, or are of a kind rustls does not take.
    #[error("use certificate {}", path.display())]
    Identity {
        /// The certificate's file.
        path: PathBuf,
        /// What rustls said.
        source: rustls::Error,
    },
}

/// Our own certificate chain (leaf first) and its private key, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Certificate chain.
    pub cert: PathBuf,
    /// PKCS#8, PKCS#1 or SEC1 key, not readable by others.
    pub key: PathBuf,
}

/// How a server checks its clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCheck {
    /// The authority that signs client certificates.
    pub authority: PathBuf,
    /// Its revocation list; clients on it are refused.
    pub revoked: Option<PathBuf>,
    /// Whether a client without a certificate is refused; one with a wrong certificate always is.
    pub required: bool,
}

/// Installs ring as this process's crypto provider. Call it first in `main`; more calls do nothing.
pub fn install_crypto() {
    // An error only says that a provider is installed already.
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// Builds a server's configuration: TLS 1.2 and 1.3, ALPN `http/1.1`.
///
/// # Errors
/// [`TlsError`], naming the file.
pub fn server_config(identity: &Identity, clients: Option<&ClientCheck>) -> Result<Arc<ServerConfig>, TlsError> {
    install_crypto();
    let builder = ServerConfig::builder();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(check) => builder.with_client_cert_verifier(client_verifier(check)?),
    };
    let (chain, key) = load_identity(identity)?;
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|source| TlsError::Identity { path: identity.cert.clone(), source })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Builds a client's configuration that trusts `authority` alone and, when asked, presents `identity`.
///
/// # Errors
/// [`TlsError`], naming the file.
pub fn client_config(authority: &Path, identity: Option<&Identity>) -> Result<Arc<ClientConfig>, TlsError> {
    install_crypto();
    let builder = ClientConfig::builder().with_root_certificates(load_authority(authority)?);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let (chain, key) = load_identity(identity)?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|source| TlsError::Identity { path: identity.cert.clone(), source })?
        }
    };
    Ok(Arc::new(config))
}

/// Builds a client's configuration for public addresses: it trusts the certificates of this machine's store.
///
/// A machine without a store is told of in the log and can still do plain HTTP; each HTTPS server is then refused as
/// being of an unknown issuer.
#[must_use]
pub fn public_client_config() -> ClientConfig {
    install_crypto();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(error = crate::chain(error), "part of the machine's certificate store cannot be read");
    }
    ClientConfig::builder().with_root_certificates(trusting(found.certs)).with_no_client_auth()
}

fn trusting(certificates: Vec<CertificateDer<'static>>) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let (taken, refused) = roots.add_parsable_certificates(certificates);
    if taken == 0 {
        tracing::warn!(
            refused,
            "no public certificate authority on this machine, so no HTTPS server: install ca-certificates"
        );
    }
    roots
}

/// A server's configuration that can be replaced while it runs; clones share it. New connections use the new one.
#[derive(Debug, Clone)]
pub struct TlsHandle {
    config: Arc<RwLock<Arc<ServerConfig>>>,
}

impl TlsHandle {
    /// Starts with `config`.
    #[must_use]
    pub fn new(config: Arc<ServerConfig>) -> Self {
        Self { config: Arc::new(RwLock::new(config)) }
    }

    /// Uses `config` from the next connection on.
    pub fn replace(&self, config: Arc<ServerConfig>) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    /// The configuration in use.
    #[must_use]
    pub fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn client_verifier(check: &ClientCheck) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, TlsError> {
    let path = &check.authority;
    let mut builder = WebPkiClientVerifier::builder(Arc::new(load_authority(path)?));
    if let Some(list) = &check.revoked {
        let lists = load_all::<CertificateRevocationListDer<'static>>("revocation list", list)?;
        // Our authority signs clients directly, so the list of the leaf's issuer is all there is.
        builder = builder.with_crls(lists).only_check_end_entity_revocation();
    }
    if !check.required {
        builder = builder.allow_unauthenticated();
    }
    builder.build().map_err(|source| TlsError::ClientCheck { path: path.clone(), source })
}

fn load_authority(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in load_all::<CertificateDer<'static>>("certificate", path)? {
        roots.add(certificate).map_err(|source| TlsError::Authority { path: path.to_owned(), source })?;
    }
    Ok(roots)
}

type ChainAndKey = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn load_identity(identity: &Identity) -> Result<ChainAndKey, TlsError> {
    let chain = load_all("certificate", &identity.cert)?;
    let secret = SecretFile::at(&identity.key).read().map_err(TlsError::Key)?;
    let key = PrivateKeyDer::from_pem_slice(secret.bytes()).map_err(|source| TlsError::Pem {
        what: "private key",
        path: identity.key.clone(),
        source,
    })?;
    Ok((chain, key))
}

/// Every object of one kind in a PEM file; at least one.
fn load_all<T: PemObject>(what: &'static str, path: &Path) -> Result<Vec<T>, TlsError> {
    let failed = |source| TlsError::Pem { what, path: path.to_owned(), source };
    let found: Vec<T> = T::pem_file_iter(path).map_err(failed)?.collect::<Result<_, _>>().map_err(failed)?;
    if found.is_empty() {
        return Err(TlsError::Empty { what, path: path.to_owned() });
    }
    Ok(found)
}
