Feature: Changing limits while calls run
  Raising a capacity works at once; lowering it waits until what is taken fits under it.

  Background:
    Given a concurrency limit "slots" of 4 with a timeout of 300 seconds

  Scenario: A raise lets waiting calls in
    Given "first" has reserved 4 of "slots"
    When "second" waits up to 10 seconds for 1 of "slots"
    And the capacity of "slots" is set to 5
    Then "second" is granted

  Scenario: A decrease denies until it fits, and is then applied
    Given "first" has reserved 3 of "slots"
    When the capacity of "slots" is set to 2
    Then "slots" is decreasing to 2
    When "second" reserves 1 of "slots"
    Then "second" is refused with "limit_decreasing:slots"
    When "first" completes
    Then "slots" is active with a capacity of 2

  Scenario: A decrease whose calls never complete is applied when they expire
    Given "first" has reserved 3 of "slots"
    When the capacity of "slots" is set to 2
    And 300 seconds pass
    Then "slots" is active with a capacity of 2

  Scenario: One limit per tenant
    Given a rolling limit "tenant:{tenant}:tokens" of 100 per 60 seconds
    When "first" reserves 100 of "tenant:acme:tokens"
    And "second" reserves 100 of "tenant:initech:tokens"
    And "third" reserves 1 of "tenant:acme:tokens"
    Then "first" is granted
    And "second" is granted
    And "third" is denied by "tenant:acme:tokens"
