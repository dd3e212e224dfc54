//! The bounded queue of waiting requests: higher priority first, then namespaces in turn.
//! A namespace that floods the queue delays another's next request by one request of its own.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Waiting items. Within a namespace the first in is the first out.
#[derive(Debug)]
pub(super) struct Queue<T> {
    /// Lanes by priority; none is empty.
    levels: BTreeMap<i32, VecDeque<Lane<T>>>,
    len: usize,
    capacity: usize,
}

/// The items of one namespace and priority, never none. The lane in front is the next to be served.
#[derive(Debug)]
struct Lane<T> {
    namespace: Arc<str>,
    items: VecDeque<T>,
}

impl<T> Queue<T> {
    /// An empty queue for at most `capacity` items.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            levels: BTreeMap::new(),
            len: 0,
            capacity,
        }
    }

    /// Number of waiting items.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The most items that can wait.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Adds an item, or gives it back when the queue is full.
    pub(super) fn push(&mut self, namespace: &Arc<str>, priority: i32, item: T) -> Result<(), T> {
        if self.len >= self.capacity {
            return Err(item);
        }
        let lanes = self.levels.entry(priority).or_default();
        match lanes.iter_mut().find(|lane| lane.namespace == *namespace) {
            Some(lane) => lane.items.push_back(item),
            None => lanes.push_back(Lane {
                namespace: Arc::clone(namespace),
                items: VecDeque::from([item]),
            }),
        }
        self.len += 1;
        Ok(())
    }

    /// The item that [`pop`](Self::pop) gives next.
    pub(super) fn peek(&self) -> Option<&T> {
        let (_, lanes) = self.levels.last_key_value()?;
        lanes.front()?.items.front()
    }

    /// Takes the next item; its namespace goes behind the others that wait with this priority.
    pub(super) fn pop(&mut self) -> Option<T> {
        let mut level = self.levels.last_entry()?;
        let lanes = level.get_mut();
        let mut lane = lanes.pop_front()?;
        let item = lane.items.pop_front()?;
        if !lane.items.is_empty() {
            lanes.push_back(lane);
        }
        if lanes.is_empty() {
            level.remove();
        }
        self.len -= 1;
        Some(item)
    }

    /// Takes out every item that `unwanted` says yes to; the others keep their turns.
    pub(super) fn remove_where(&mut self, mut unwanted: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut removed = Vec::new();
        self.levels.retain(|_, lanes| {
            lanes.retain_mut(|lane| {
                for item in std::mem::take(&mut lane.items) {
                    if unwanted(&item) {
                        removed.push(item);
                    } else {
                        lane.items.push_back(item);
                    }
                }
                !lane.items.is_empty()
            });
            !lanes.is_empty()
        });
        self.len -= removed.len();
        removed
    }

    /// Every waiting item, in no particular order.
    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        let lanes = self.levels.values().flatten();
        lanes.flat_map(|lane| lane.items.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn namespaces() -> Vec<Arc<str>> {
        ["a", "b", "c", "d"].map(Arc::from).to_vec()
    }

    /// Says of every item when it came and of every namespace when it last went to the back; the
    /// next item is then found by comparing everything.
    #[derive(Default)]
    struct Slow {
        clock: usize,
        items: Vec<Waiting>,
        back: BTreeMap<(i32, usize), usize>,
    }

    #[derive(Clone, Copy)]
    struct Waiting {
        namespace: usize,
        priority: i32,
        came: usize,
        value: u32,
    }

    impl Slow {
        fn push(&mut self, namespace: usize, priority: i32, value: u32) {
            self.clock += 1;
            let lane = (priority, namespace);
            let mut items = self.items.iter();
            if !items.any(|item| (item.priority, item.namespace) == lane) {
                self.back.insert(lane, self.clock);
            }
            self.items.push(Waiting {
                namespace,
                priority,
                came: self.clock,
                value,
            });
        }

        fn pop(&mut self) -> Option<u32> {
            self.clock += 1;
            let key = |item: &Waiting| {
                let back = self.back[&(item.priority, item.namespace)];
                (-item.priority, back, item.came)
            };
            let next = (0..self.items.len()).min_by_key(|&i| key(&self.items[i]))?;
            let item = self.items.remove(next);
            self.back
                .insert((item.priority, item.namespace), self.clock);
            Some(item.value)
        }
    }

    #[derive(Debug, Clone)]
    enum Act {
        Push(usize, i32),
        Pop,
        Remove(u32),
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            4 => (0usize..4, -1i32..2).prop_map(|(namespace, priority)| Act::Push(namespace, priority)),
            3 => Just(Act::Pop),
            1 => (2u32..5).prop_map(Act::Remove),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn agrees_with_a_slow_queue(
            acts in proptest::collection::vec(act(), 0..120),
            capacity in 0usize..20,
        ) {
            let namespaces = namespaces();
            let (mut queue, mut slow) = (Queue::new(capacity), Slow::default());
            for (value, act) in (0u32..).zip(acts) {
                match act {
                    Act::Push(namespace, priority) => {
                        let full = queue.len() == capacity;
                        let pushed = queue.push(&namespaces[namespace], priority, value);
                        prop_assert_eq!(pushed, if full { Err(value) } else { Ok(()) });
                        if !full {
                            slow.push(namespace, priority, value);
                        }
                    }
                    Act::Pop => {
                        let shown = queue.peek().copied();
                        let popped = queue.pop();
                        prop_assert_eq!(shown, popped);
                        prop_assert_eq!(popped, slow.pop());
                    }
                    Act::Remove(modulus) => {
                        let mut removed = queue.remove_where(|value| value % modulus == 0);
                        removed.sort_unstable();
                        let mut expected: Vec<u32> = slow.items.iter().map(|item| item.value).collect();
                        expected.retain(|value| value % modulus == 0);
                        expected.sort_unstable();
                        slow.items.retain(|item| item.value % modulus != 0);
                        prop_assert_eq!(removed, expected);
                    }
                }
                prop_assert_eq!(queue.len(), slow.items.len());
                let mut listed: Vec<u32> = queue.iter().copied().collect();
                listed.sort_unstable();
                let mut expected: Vec<u32> = slow.items.iter().map(|item| item.value).collect();
                expected.sort_unstable();
                prop_assert_eq!(listed, expected);
            }
            while let Some(value) = slow.pop() {
                prop_assert_eq!(queue.pop(), Some(value));
            }
            prop_assert_eq!(queue.pop(), None);
        }

        #[test]
        fn a_flood_delays_others_by_one_item_per_namespace(
            waiting in proptest::collection::vec(0usize..3, 0..100),
            served in 0usize..50,
        ) {
            let namespaces = namespaces();
            let mut queue = Queue::new(1000);
            for namespace in waiting {
                queue.push(&namespaces[namespace], 0, namespace).unwrap();
            }
            for _ in 0..served {
                queue.pop();
            }
            queue.push(&namespaces[3], 0, 3).unwrap();
            for _ in 0..1000 - queue.len() {
                queue.push(&namespaces[0], 0, 0).unwrap();
            }
            let before: Vec<usize> = std::iter::from_fn(|| queue.pop()).take_while(|&n| n != 3).collect();
            for namespace in 0..3 {
                prop_assert!(before.iter().filter(|&&n| n == namespace).count() <= 1);
            }
        }
    }

    #[test]
    fn priority_comes_before_turns() {
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let mut queue = Queue::new(6);
        for (namespace, priority, item) in [
            (&a, 0, "a1"),
            (&a, 0, "a2"),
            (&a, 0, "a3"),
            (&b, 0, "b1"),
            (&b, -1, "later"),
            (&b, 5, "first"),
        ] {
            queue.push(namespace, priority, item).unwrap();
        }
        assert_eq!(queue.push(&b, 9, "too many"), Err("too many"));
        assert_eq!((queue.len(), queue.capacity()), (6, 6));
        let order: Vec<&str> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, ["first", "a1", "b1", "a2", "a3", "later"]);
    }
}
