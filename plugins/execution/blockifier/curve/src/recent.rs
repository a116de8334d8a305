//! A bounded map of recent results by their inputs. When the young half is full the old half is dropped.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

/// The number of parts with a lock each. Threads that compute at the same time rarely need the same part.
const PARTS: usize = 16;

/// The map. Keys are felts, or lists of them, in bytes; the lowest byte of the first one chooses the part.
pub struct Recent<K, V> {
    parts: [Mutex<Halves<K, V>>; PARTS],
    most: usize,
}

struct Halves<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Eq + Hash + AsRef<[u8]>, V: Clone> Recent<K, V> {
    /// A map that keeps at least the last `most` / 2 values, and at most `most`.
    pub fn new(most: usize) -> Self {
        let part = |_| Mutex::new(Halves { young: HashMap::new(), old: HashMap::new() });
        Self { parts: std::array::from_fn(part), most: most / PARTS / 2 }
    }

    fn part(&self, key: &K) -> std::sync::MutexGuard<'_, Halves<K, V>> {
        let low = key.as_ref().first().copied().unwrap_or(0) as usize;
        self.parts[low % PARTS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn get(&self, key: &K) -> Option<V> {
        let part = &mut *self.part(key);
        if let Some(value) = part.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = part.old.remove_entry(key)?;
        self.keep(part, key, value.clone());
        Some(value)
    }

    pub fn put(&self, key: K, value: V) {
        self.keep(&mut self.part(&key), key, value);
    }

    fn keep(&self, part: &mut Halves<K, V>, key: K, value: V) {
        if part.young.len() >= self.most {
            part.old = std::mem::take(&mut part.young);
        }
        part.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_goes() {
        let recent = Recent::new(4 * PARTS);
        let key = |n: u8| vec![0, n];
        for n in 0..4 {
            recent.put(key(n), n); // 0 and 1 become old when 2 comes
        }
        assert_eq!(recent.get(&key(0)), Some(0), "drops 1, makes 2 and 3 old");
        assert_eq!(recent.get(&key(1)), None);
        assert_eq!(recent.get(&key(2)), Some(2));
        recent.put(key(9), 9);
        assert_eq!([0, 2, 3, 9].map(|n| recent.get(&key(n))), [Some(0), Some(2), None, Some(9)]);
    }
}
