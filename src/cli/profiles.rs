//! `scimshim adapters --profiles`: what each profile of an identity server presets. It tells what the program does, not
//! what one configuration says.

use super::common::{Failure, print};
use crate::config::Profile;
use serde_json::{Map, Value};

/// Prints the profiles with their switches, as a table or as JSON.
pub fn run(json: bool) -> Result<(), Failure> {
    if json {
        let each = Profile::ALL.iter().map(|(name, profile)| {
            let switches = profile.switches().words();
            let switches: Map<String, Value> =
                switches.into_iter().map(|(switch, word)| (switch.to_owned(), word.into())).collect();
            ((*name).to_owned(), Value::Object(switches))
        });
        return print(&Value::Object(each.collect()).to_string());
    }
    let head = Profile::Standard.switches().words().map(|(switch, _)| switch);
    let row = |first: &str, words: [&str; 4]| {
        let cells: Vec<String> =
            words.iter().zip(head).map(|(word, head)| format!("{word:w$}", w = head.len().max(16))).collect();
        format!("{first:10}  {}", cells.join("  ")).trim_end().to_owned()
    };
    print(&row("profile", head))?;
    for (name, profile) in Profile::ALL {
        print(&row(name, profile.switches().words().map(|(_, word)| word)))?;
    }
    print("")?;
    print("Each can be set alone: identity_servers: { NAME: { profile: okta, switches: { put: replace } } }")?;
    print("patch_answers: 200 with the resource, 204, or auto: 204 where the answer would carry a whole membership")?;
    print("put: attributes that a PUT leaves out are cleared (replace) or left (keep_unmentioned)")?;
    print("no_target: a PATCH that replaces values which its filter does not find makes them, or is refused with 400")?;
    print("adopt: a POST of a row that exists is refused with 409, or links it where no identity server ever wrote it")
}
