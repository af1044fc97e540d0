Feature: Circuit breaker
  Calls to an upstream that fails are stopped for a while; then a few of them find out whether it is well again.

  Background:
    Given a circuit breaker "anthropic"

  Scenario: Circuit opens after 5 failures and rejects
    When 4 calls through "anthropic" fail
    Then "anthropic" is closed
    When 1 call through "anthropic" fails
    Then "anthropic" is open
    And a call through "anthropic" is rejected for 60000 ms

  Scenario: A success in between starts the count anew
    When 4 calls through "anthropic" fail
    And 1 call through "anthropic" succeeds
    And 4 calls through "anthropic" fail
    Then "anthropic" is closed

  Scenario: After the timeout half-open lets two through and success closes it
    Given 5 calls through "anthropic" have failed
    When 60 seconds pass
    Then "anthropic" is half_open
    When "first" enters "anthropic"
    And "second" enters "anthropic"
    Then a call through "anthropic" is rejected for 1000 ms
    When "first" succeeds
    Then "anthropic" is half_open
    When "second" succeeds
    Then "anthropic" is closed

  Scenario: A probe that fails opens it again, for twice as long
    Given 5 calls through "anthropic" have failed
    When 60 seconds pass
    And 1 call through "anthropic" fails
    Then a call through "anthropic" is rejected for 120000 ms

  Scenario: A probe that is dropped leaves its place to another
    Given 5 calls through "anthropic" have failed
    When 60 seconds pass
    And "first" enters "anthropic"
    And "second" enters "anthropic"
    And "second" gives up
    And "third" enters "anthropic"
    Then a call through "anthropic" is rejected for 1000 ms

  Scenario: What a person decides holds until it is reset
    When "anthropic" is forced open
    And 600 seconds pass
    Then "anthropic" is open
    When "anthropic" is reset
    Then "anthropic" is closed
