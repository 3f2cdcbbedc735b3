//! Policies in OCI registries: the standard artifact for a WebAssembly component, pushed and pulled.
//!
//! One manifest, one config that says what the component imports and exports, one layer that is the component. What a
//! registry sends is believed only as far as its digests go: the layer must be what the manifest names, and the manifest
//! what the reference names when that is pinned by digest. This knows nothing of the API; whether a component is a policy
//! that may be published is told elsewhere.
//!
//! # Source
//! CNCF TAG Runtime, Wasm OCI Artifact layout; OCI image and distribution specifications, 1.1.

mod credentials;
mod error;
mod options;
mod reference;
mod wasm;

use std::time::Duration;

use bytes::Bytes;
use feed::PolicyDigest;
use futures_util::StreamExt as _;
use oci_client::RegistryOperation;
use oci_client::client::{Client, ClientConfig, ClientProtocol, Config, ImageLayer};
use oci_client::manifest::{OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageManifest, OciManifest};
use oci_client::secrets::RegistryAuth;

pub(crate) use error::Error;
pub(super) use options::Options;
pub(super) use reference::Reference;

/// A registry, and who asks it.
pub(super) struct Registry {
    client: Client,
    auth: RegistryAuth,
}

/// What a registry holds under a reference.
pub(super) struct Pulled {
    /// The component.
    pub(super) component: Vec<u8>,
    /// The reference, pinned by the digest of the manifest.
    pub(super) pinned: String,
}

/// Octets of a component, at most: what a policy in a scripting language may have.
pub(super) const COMPONENT_BYTES_MAX: usize = 32 << 20;

impl Registry {
    /// Prepares to ask the registry that a reference names. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Certificates`] and what is wrong with the credentials.
    pub(super) fn open(reference: &Reference, options: &Options) -> Result<Self, Error> {
        let host = reference.host().to_owned();
        let protocol = if options.is_plain(reference) {
            ClientProtocol::HttpsExcept(vec![host])
        } else {
            ClientProtocol::Https
        };
        let config = ClientConfig {
            protocol,
            tls_certs_only: options.authorities()?,
            // An index of several platforms is no policy.
            platform_resolver: None,
            read_timeout: Some(SILENCE_MAX),
            connect_timeout: Some(SILENCE_MAX),
            user_agent: concat!("postern/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        // The infallible way to make one falls back to a client without these options.
        let client = Client::try_from(config).map_err(Error::registry)?;
        let auth = credentials::of(reference, options)?;
        Ok(Self { client, auth })
    }

    /// Fetches the component that a reference names.
    ///
    /// # Errors
    /// [`Error`]: unreachable, refused, not what the digests say, or no single WebAssembly component.
    pub(super) async fn pull(&self, reference: &Reference) -> Result<Pulled, Error> {
        within(self.fetch(reference)).await
    }

    /// Stores a component under a tag, and returns the reference pinned by digest.
    ///
    /// # Errors
    /// [`Error`]: unreachable, refused, or the octets are no component.
    pub(super) async fn push(&self, reference: &Reference, component: &[u8], now_ms: i64) -> Result<String, Error> {
        within(self.store(reference, component, now_ms)).await
    }

    async fn fetch(&self, reference: &Reference) -> Result<Pulled, Error> {
        let asked = self.client.pull_manifest(reference.inner(), &self.auth).await;
        let (manifest, digest) = asked.map_err(Error::registry)?;
        let OciManifest::Image(manifest) = manifest else {
            return Err(Error::NotThatArtifact("an index of several platforms".to_owned()));
        };
        let layer = only_layer(&manifest)?;
        let asked = self.client.pull_blob_stream(reference.inner(), layer).await;
        // It ends with an error when the octets have not the digest of the layer.
        let mut stream = asked.map_err(Error::registry)?.stream;
        let mut component = Vec::new();
        while let Some(part) = stream.next().await {
            let part = part.map_err(Error::transfer)?;
            if component.len() + part.len() > COMPONENT_BYTES_MAX {
                return Err(Error::TooLong);
            }
            component.extend_from_slice(&part);
        }
        let pinned = reference.pinned(&digest);
        Ok(Pulled { component, pinned })
    }

    async fn store(&self, reference: &Reference, component: &[u8], now_ms: i64) -> Result<String, Error> {
        let image = reference.inner();
        let config = wasm::config(component, now_ms)?;
        let config = Config::new(config, wasm::CONFIG_MEDIA_TYPE.to_owned(), None);
        let layers = [ImageLayer::new(
            component.to_vec(),
            wasm::LAYER_MEDIA_TYPE.to_owned(),
            None,
        )];
        let manifest = OciImageManifest::build(&layers, &config, None);
        let signed_in = self.client.auth(image, &self.auth, RegistryOperation::Push).await;
        signed_in.map_err(Error::registry)?;
        let [ImageLayer { data, .. }] = layers;
        for (blob, descriptor) in [(data, &manifest.layers[0]), (config.data, &manifest.config)] {
            let pushed = self.client.push_blob(image, blob, &descriptor.digest).await;
            pushed.map_err(Error::registry)?;
        }
        // Octets of our own, so that the digest is known whatever the registry answers.
        let body = Bytes::from(serde_json::to_vec(&manifest).expect("a manifest is texts, numbers and lists"));
        let pinned = reference.pinned(&sha256(&body));
        let media_type = http::HeaderValue::from_static(OCI_IMAGE_MEDIA_TYPE);
        let pushed = self.client.push_manifest_raw(image, body, media_type).await;
        pushed.map_err(Error::registry)?;
        Ok(pinned)
    }
}

/// Longest time that a registry may say nothing.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Longest time that one command deals with a registry: [`COMPONENT_BYTES_MAX`] at some 2 Mbit/s.
const DEADLINE: Duration = Duration::from_secs(120);

async fn within<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    // The client's futures are large, and there is one at a time.
    let worked = tokio::time::timeout(DEADLINE, Box::pin(work)).await;
    worked.unwrap_or(Err(Error::Slow(DEADLINE)))
}

/// Returns the one layer of a WebAssembly artifact.
fn only_layer(manifest: &OciImageManifest) -> Result<&OciDescriptor, Error> {
    let config = &manifest.config.media_type;
    if config != wasm::CONFIG_MEDIA_TYPE {
        return Err(Error::NotThatArtifact(format!("an artifact of type {config}")));
    }
    let [layer] = manifest.layers.as_slice() else {
        let layers = manifest.layers.len();
        return Err(Error::NotThatArtifact(format!("an artifact of {layers} layers")));
    };
    if layer.media_type != wasm::LAYER_MEDIA_TYPE {
        return Err(Error::NotThatArtifact(format!("a layer of type {}", layer.media_type)));
    }
    let length = usize::try_from(layer.size).unwrap_or(usize::MAX);
    if length > COMPONENT_BYTES_MAX {
        return Err(Error::TooLong);
    }
    Ok(layer)
}

fn sha256(octets: &[u8]) -> String {
    format!("sha256:{}", PolicyDigest::of(octets))
}
