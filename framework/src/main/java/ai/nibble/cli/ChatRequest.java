package ai.nibble.cli;

import java.util.Optional;

/**
 * What {@code nibble chat} is asked for.
 *
 * @param system the system's turn to begin with
 * @param verbose whether a line after each answer says how long it took
 */
record ChatRequest(
    ModelRequest model, SamplingRequest sampling, Optional<String> system, boolean verbose) {}
