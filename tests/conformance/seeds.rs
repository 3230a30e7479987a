//! The properties that `make fuzz` tries on random bytes, on the seeds and on each seed spoiled in a few hundred ways: so
//! they build, they hold, and none of them holds of nothing. SCIMSHIM_SPOILED says how many ways, SCIMSHIM_SPOILED_SEED which.

#[path = "../../fuzz/properties.rs"]
#[allow(dead_code, reason = "the fuzzer uses them one by one")]
mod properties;

use crate::random::Random;
use crate::support::{file, size};

#[test]
fn properties_hold_of_the_seeds() {
    let mut random = Random::new(size("SCIMSHIM_SPOILED_SEED", 1) as u64);
    let ways = size("SCIMSHIM_SPOILED", 300);
    for (name, property) in properties::ALL {
        let mut seeds = 0;
        for entry in std::fs::read_dir(file(&format!("fuzz/seeds/{name}"))).unwrap() {
            let seed = std::fs::read(entry.unwrap().path()).unwrap();
            property(&seed);
            seeds += 1;
            for _ in 0..ways {
                let mut spoiled = seed.clone();
                for _ in 0..1 + random.below(6) {
                    let at = usize::try_from(random.below(spoiled.len() as u64)).unwrap();
                    match random.below(3) {
                        0 => spoiled[at] = *random.pick(b"\"[](){}.:, ea10\\\n\xff"),
                        1 => spoiled.insert(at, *random.pick(b"\"[](){}.:, ea10\\\n")),
                        _ => spoiled.truncate(at.max(1)),
                    }
                }
                property(&spoiled);
            }
        }
        assert!(seeds > 0, "{name} has no seeds");
    }
}
