//! Which entity tag a write goes with (RC-35 to RC-37): the step that this make of BMC was seen to take first, then the others, each once. Only
//! a refusal that promises that nothing was done (412, 428) leads on to the next step. It sends nothing.

use http::header::HeaderValue;

use crate::bmc::quirk::TagStep;

/// Steps in the order in which they are tried after the first.
const REST: [TagStep; 4] = [TagStep::Given, TagStep::Strong, TagStep::Star, TagStep::None];
/// The same for actions: iDRAC10 refuses a tag there, AMI asks for `*` (RC-36).
const REST_OF_ACTION: [TagStep; 4] = [TagStep::None, TagStep::Star, TagStep::Given, TagStep::Strong];

/// The steps of a PATCH, beginning with `first`. A tag that was read before is tried once more as it is read anew.
pub(super) fn steps(first: TagStep) -> Vec<TagStep> {
    let again = (first == TagStep::Given).then_some(TagStep::Given);
    std::iter::once(first).chain(again).chain(REST.into_iter().filter(|step| *step != first)).collect()
}

/// The steps of an action, beginning with `first`.
pub(super) fn steps_of_action(first: TagStep) -> Vec<TagStep> {
    std::iter::once(first).chain(REST_OF_ACTION.into_iter().filter(|step| *step != first)).collect()
}

/// What `If-Match` holds at a step. `Err`: the step cannot be made, since there is no such tag.
pub(super) fn value(step: TagStep, read: Option<&HeaderValue>) -> Result<Option<HeaderValue>, ()> {
    match step {
        TagStep::None => Ok(None),
        TagStep::Star => Ok(Some(HeaderValue::from_static("*"))),
        TagStep::Given => read.cloned().map(Some).ok_or(()),
        TagStep::Strong => read.and_then(strong).map(Some).ok_or(()),
    }
}

/// A tag made strong: without `W/` and without the `-gzip` that a compressing front end appends (gofish PR #511), always in quotes. `None`: it is
/// so already, or it is empty.
fn strong(tag: &HeaderValue) -> Option<HeaderValue> {
    let text = tag.to_str().ok()?;
    let bare = text.strip_prefix("W/").unwrap_or(text).trim_matches('"');
    let bare = bare.strip_suffix("-gzip").unwrap_or(bare);
    let made = format!("\"{bare}\"");
    if bare.is_empty() || made == text { None } else { HeaderValue::from_str(&made).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ladder_is_short_and_whole() {
        for first in REST {
            for steps in [steps(first), steps_of_action(first)] {
                assert_eq!(steps[0], first);
                assert!(steps.len() <= 5, "{steps:?}");
                assert!(REST.iter().all(|step| steps.contains(step)), "{steps:?}");
            }
        }
    }

    #[test]
    fn weak_and_gzipped_tags_are_made_strong() {
        for (given, want) in [
            ("W/\"abc\"", Some("\"abc\"")),
            ("\"abc-gzip\"", Some("\"abc\"")),
            ("W/\"abc-gzip\"", Some("\"abc\"")),
            ("abc", Some("\"abc\"")),
            ("\"abc\"", None),
            ("W/\"\"", None),
            ("\"-gzip\"", None),
        ] {
            let made = strong(&HeaderValue::from_str(given).unwrap());
            assert_eq!(made.as_ref().map(|tag| tag.to_str().unwrap()), want, "{given}");
        }
        assert_eq!(value(TagStep::Given, None), Err(()));
        assert_eq!(value(TagStep::None, None), Ok(None));
    }

    proptest::proptest! {
        #[test]
        fn any_tag_is_taken(bytes in proptest::collection::vec(32_u8..=255, 0..40)) {
            if let Ok(tag) = HeaderValue::from_bytes(&bytes) {
                for step in REST { let _ = value(step, Some(&tag)); }
            }
        }
    }
}
