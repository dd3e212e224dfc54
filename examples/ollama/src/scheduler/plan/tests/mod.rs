//! The plan against a world in which runners do what they like, and against rules said in the plainest way.

mod world;

use proptest::prelude::*;

use super::*;
use world::{Act, Want, World};

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let keep = prop_oneof![Just(None), Just(Some(0)), (1u8..20).prop_map(Some)];
    let act = prop_oneof![
        6 => (0u8..5, 0u8..3, keep).prop_map(|(key, want, keep)| Act::Submit { key, want, keep }),
        1 => any::<usize>().prop_map(Act::Cancel),
        4 => any::<usize>().prop_map(Act::Finish),
        8 => (any::<usize>(), prop::bool::weighted(0.1), 1u8..8)
            .prop_map(|(runner, fail, memory)| Act::Step { runner, fail, memory }),
        1 => any::<usize>().prop_map(Act::Crash),
        1 => (0u8..5).prop_map(Act::Stop),
        2 => (0u8..12).prop_map(Act::Pass),
    ];
    prop::collection::vec(act, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rules_hold_whatever_happens(
        acts in acts(),
        models in 1usize..4,
        waiting in 0usize..6,
        parallel in 1usize..3,
        budget in 5u64..16,
    ) {
        let mut world = World::new(Limits { models, waiting, parallel, budget });
        for act in &acts {
            world.act(act)?;
        }
        world.flood()?;
        world.drain()?;
    }
}

fn world(models: usize, waiting: usize, parallel: usize) -> World {
    World::new(Limits {
        models,
        waiting,
        parallel,
        budget: 100,
    })
}

fn submit(key: u8) -> Act {
    Act::Submit {
        key,
        want: 0,
        keep: None,
    }
}

fn step() -> Act {
    Act::Step {
        runner: 0,
        fail: false,
        memory: 1,
    }
}

#[test]
fn one_place_and_one_waiting_refuse_the_third() {
    let mut world = world(1, 1, 1);
    let mut refused = 0;
    for _ in 0..6 {
        let before = world.resolved;
        world.act(&submit(0)).unwrap();
        refused += world.resolved - before;
    }
    assert_eq!(refused, 4);
    // The limit holds also when the model is loaded.
    world.act(&step()).unwrap();
    world.act(&step()).unwrap();
    assert_eq!(world.runners[&0].running.len(), 2);
    world.act(&submit(0)).unwrap();
    assert_eq!(world.next as usize - world.resolved, 0, "refused at once");
}

#[test]
fn a_flood_of_one_model_does_not_starve_another() {
    let mut world = world(1, 100, 2);
    world.act(&submit(0)).unwrap();
    world.act(&step()).unwrap();
    world.act(&step()).unwrap();
    world.act(&submit(1)).unwrap();
    for _ in 0..5 {
        world.act(&submit(0)).unwrap();
    }
    assert_eq!(
        world.runners[&0].running.len(),
        1,
        "nobody overtakes the other model's request"
    );
    world.act(&Act::Finish(0)).unwrap();
    world.act(&step()).unwrap();
    world.act(&step()).unwrap();
    world.act(&step()).unwrap();
    assert_eq!(world.runners[&1].running.len(), 1);
}

#[test]
fn a_flood_of_all_loaded_models_does_not_starve_another() {
    let mut world = world(2, 100, 2);
    for key in [0, 0, 0, 1, 1, 1] {
        world.act(&submit(key)).unwrap();
    }
    for runner in [0, 0, 1, 1] {
        let step = Act::Step {
            runner,
            fail: false,
            memory: 1,
        };
        world.act(&step).unwrap();
    }
    world.act(&submit(2)).unwrap();
    world.flood().unwrap();
}

#[test]
fn a_load_that_nobody_wanted_any_more_fails_for_nobody() {
    let mut plan = Plan::new(Limits {
        models: 1,
        waiting: 9,
        parallel: 1,
        budget: 100,
    });
    let now = Time::ZERO;
    plan.submit(now, 1, 'a', Want(1), KeepAlive::Forever);
    plan.measured(now, &'a', 10);
    plan.cancel(now, 1);
    plan.submit(now, 2, 'a', Want(2), KeepAlive::Forever);
    assert!(plan.failed(now, &'a').is_empty());
    plan.take_actions();
    plan.gone(now, &'a');
    assert_eq!(plan.take_actions(), [Action::Start('a', Want(2))]);
}

#[test]
fn what_can_never_fit_is_refused_with_both_numbers() {
    let mut plan = Plan::new(Limits {
        models: 2,
        waiting: 9,
        parallel: 1,
        budget: 100,
    });
    plan.submit(Time::ZERO, 7, 'a', Want(0), KeepAlive::Forever);
    plan.measured(Time::ZERO, &'a', 101);
    let actions = plan.take_actions();
    let refusal = Refusal::Memory {
        needed: 101,
        budget: 100,
    };
    assert!(actions.contains(&Action::Refuse(7, refusal)), "{actions:?}");
    assert!(actions.contains(&Action::End('a')));
}
