//! Bodies from one format to another. Large ones take their time, so none is translated on a thread that serves others.

use bytes::Bytes;

use super::Asked;
use super::media::Format;
use crate::fhir::api::error::{ApiError, Category};
use crate::fhir::xml::{self, Layout};
use crate::json;

/// The JSON of a body in XML.
///
/// # Errors
/// When it is not the XML of a resource.
pub(super) async fn json_of(text: Bytes) -> Result<Bytes, ApiError> {
    beside(move || match xml::read(&text) {
        Ok(resource) => Ok(Bytes::from(resource.to_string())),
        Err(error) => Err(ApiError::new(Category::Structure, format!("The body was refused at {error}"))),
    })
    .await
}

/// An answer in JSON, in the form that was asked for.
///
/// # Errors
/// When that form cannot hold it.
pub(super) async fn written(text: Bytes, asked: Asked) -> Result<Bytes, ApiError> {
    if text.is_empty() {
        return Ok(text);
    }
    beside(move || match asked.media.format {
        Format::Json if asked.pretty => Ok(json::pretty(&text).into()),
        Format::Json => Ok(text),
        Format::Xml => xml_of(&text, if asked.pretty { Layout::Pretty } else { Layout::Compact }),
    })
    .await
}

fn xml_of(text: &[u8], layout: Layout) -> Result<Bytes, ApiError> {
    let resource = json::parse(text).map_err(ApiError::internal)?;
    let written = xml::write(&resource, layout).map_err(|error| {
        ApiError::new(Category::NotAcceptable, format!("This has no XML, for {error}. Ask for JSON."))
    })?;
    Ok(written.into())
}

async fn beside(work: impl FnOnce() -> Result<Bytes, ApiError> + Send + 'static) -> Result<Bytes, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)?
}
