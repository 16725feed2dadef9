//! Which registry describes a BIOS: the one that it names, or the only BIOS registry that there is. Followed by links, in English where there is a
//! choice.

use serde_json::Value;
use tokio::time::Instant;

use super::super::client::Client;
use super::super::error::unsupported;
use super::super::{json, path};
use super::Registry;
use crate::bmc::BmcError;

/// What the names of all BIOS registries begin with, in the captured trees.
const BEGIN: &str = "biosattributeregistry";

impl Client {
    /// The registry by the name that the BIOS gives it; `None` when none fits.
    pub(in super::super) async fn find_registry(&self, name: Option<&str>) -> Result<Option<Registry>, BmcError> {
        let deadline = Instant::now() + self.limits.inventory;
        let (members, _) = self.members(&self.service("Registries").await?, deadline).await?;
        let named = |at: &str| name.is_some_and(|name| path::last(at).eq_ignore_ascii_case(name));
        let bios = |at: &str| path::last(at).to_ascii_lowercase().starts_with(BEGIN);
        let file = match members.iter().find(|member| named(&member.path)) {
            Some(member) => self.get_by(&member.path, deadline).await?,
            None => {
                // Dell names version 1.0.3 and files it under 1.0.0; GB300's BIOS names none at all.
                let mut files = Vec::new();
                for member in members.iter().filter(|member| bios(&member.path)).take(8) {
                    files.push(self.get_by(&member.path, deadline).await?);
                }
                let by_name =
                    files.iter().position(|file| name.is_some() && json::text(&file.value, "Registry").as_deref() == name);
                match (by_name, files.len()) {
                    (Some(at), _) => files.swap_remove(at),
                    (None, 1) => files.swap_remove(0),
                    _ => return Ok(None),
                }
            }
        };
        let Some(at) = location(&file.value) else {
            return Err(unsupported("read the attribute registry", "its file says no place on this BMC"));
        };
        let registry = Registry::read(&self.get_by(&at, deadline).await?.value);
        Ok((!registry.is_empty()).then_some(registry))
    }
}

/// The place of a registry on this BMC: in English, or in any language.
fn location(file: &Value) -> Option<String> {
    let places = json::list(file, "Location");
    let uri = |place: &Value| {
        let uri = place.get("Uri")?;
        json::href(uri).or_else(|| json::link(uri, "extref"))
    };
    let english = |place: &&Value| json::word(place, "Language").is_some_and(|l| l.to_ascii_lowercase().starts_with("en"));
    places.iter().filter(english).find_map(uri).or_else(|| places.iter().find_map(uri))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::location;

    #[test]
    fn english_is_preferred_and_any_place_is_taken() {
        let file = json!({"Location": [{"Language": "ja", "Uri": "/r/ja"}, {"Language": "en-US", "Uri": "/r/en"}]});
        assert_eq!(location(&file).as_deref(), Some("/r/en"));
        assert_eq!(location(&json!({"Location": [{"Language": "zh", "Uri": {"extref": "/r/zh"}}]})).as_deref(), Some("/r/zh"));
        assert_eq!(location(&json!({"Location": [{"Language": "en", "PublicationUri": "http://x/y"}]})), None);
    }
}
