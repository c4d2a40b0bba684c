//! Exhaustive search: every world that can be reached, by every order of steps.
//!
//! What is well stays well until the next fault. A world is *stuck* when no sequence of ordinary steps (no faults) leads from it to one where
//! everything is well. The search keeps a fingerprint of each world and the step that first led to
//! it, so a stuck world is shown with its whole story.

use std::collections::HashMap;
use std::collections::hash_map::{DefaultHasher, Entry};
use std::fmt::Debug;
use std::hash::{Hash, Hasher};

/// What is searched.
pub trait World: Clone + Hash {
    /// One step: short, so that millions of them can be kept.
    type Step: Copy + Debug;

    /// Every step that can happen now.
    fn steps(&self) -> Vec<Self::Step>;
    /// Whether a step is a fault, or at least nothing that must happen.
    fn is_fault(step: Self::Step) -> bool;
    /// Takes the step. `Err` says which promise is broken.
    fn take(&mut self, step: Self::Step) -> Result<(), String>;
    /// Whether everything is as the user wants it.
    fn is_well(&self) -> bool;
    /// Gives equal worlds equal names for what is only a name.
    fn canonical(&mut self);
}

/// What the search found.
pub struct Found {
    /// How many different worlds there are.
    pub worlds: usize,
    /// How many of them are well.
    pub well: usize,
    /// How many are stuck.
    pub stuck: usize,
    /// The shortest story that ends badly: a stuck world, or a broken promise.
    pub story: Option<String>,
}

/// Explores everything from `start`; gives up, loudly, beyond `most` worlds.
pub fn explore<W: World + Debug>(start: W, most: usize) -> Found {
    let mut names: HashMap<u64, u32> = HashMap::new();
    let mut parents: Vec<(u32, Option<W::Step>)> = vec![(0, None)];
    let mut back: Vec<(u32, u32)> = Vec::new(); // ordinary steps, reversed
    let mut well: Vec<u32> = Vec::new();
    let mut frontier = vec![(0u32, start.clone())];
    names.insert(fingerprint(&start), 0);
    if start.is_well() {
        well.push(0);
    }
    while !frontier.is_empty() {
        let mut next = Vec::new();
        for (name, world) in frontier.drain(..) {
            for step in world.steps() {
                let mut reached = world.clone();
                if let Err(broken) = reached.take(step) {
                    let story = format!("{}\n{step:?}\nbroken: {broken}", story(&start, &parents, name));
                    return Found { worlds: parents.len(), well: well.len(), stuck: 0, story: Some(story) };
                }
                if world.is_well() && !W::is_fault(step) && !reached.is_well() {
                    let story = format!("{}\n{step:?}\nbroken: all was well", story(&start, &parents, name));
                    return Found { worlds: parents.len(), well: well.len(), stuck: 0, story: Some(story) };
                }
                reached.canonical();
                let to = match names.entry(fingerprint(&reached)) {
                    Entry::Occupied(known) => *known.get(),
                    Entry::Vacant(new) => {
                        let to = u32::try_from(parents.len()).expect("fewer than 2^32 worlds");
                        new.insert(to);
                        parents.push((name, Some(step)));
                        if reached.is_well() {
                            well.push(to);
                        }
                        next.push((to, reached));
                        to
                    }
                };
                if !W::is_fault(step) {
                    back.push((to, name));
                }
            }
        }
        assert!(parents.len() <= most, "more than {most} worlds: the search is no longer bounded");
        frontier = next;
    }
    let reaches = backwards(parents.len(), &well, back);
    let stuck = reaches.iter().filter(|&&reaches| !reaches).count();
    let first = reaches.iter().position(|&reaches| !reaches);
    let story = first.map(|name| story(&start, &parents, name as u32));
    Found { worlds: parents.len(), well: well.len(), stuck, story }
}

fn fingerprint(world: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
}

/// Which worlds can come to one of `well`.
fn backwards(worlds: usize, well: &[u32], mut back: Vec<(u32, u32)>) -> Vec<bool> {
    back.sort_unstable();
    let mut reaches = vec![false; worlds];
    let mut todo = well.to_vec();
    for &name in well {
        reaches[name as usize] = true;
    }
    while let Some(to) = todo.pop() {
        let start = back.partition_point(|&(head, _)| head < to);
        for &(_, from) in back[start..].iter().take_while(|&&(head, _)| head == to) {
            if !std::mem::replace(&mut reaches[from as usize], true) {
                todo.push(from);
            }
        }
    }
    reaches
}

fn story<W: World + Debug>(start: &W, parents: &[(u32, Option<W::Step>)], mut name: u32) -> String {
    let mut steps = Vec::new();
    while let (parent, Some(step)) = parents[name as usize] {
        steps.push(step);
        name = parent;
    }
    steps.reverse();
    let mut world = start.clone();
    let mut told = String::new();
    for step in steps {
        let fault = if W::is_fault(step) { "  (fault)" } else { "" };
        told.push_str(&format!("{step:?}{fault}\n"));
        world.take(step).expect("this step was taken before");
        world.canonical();
    }
    told + &format!("{world:#?}")
}
