/**
 * The command line: a thin client of the library.
 *
 * <p>Exit codes: 0 done, 1 failed, 2 bad usage or recipe. What a person can mend is one line on
 * standard error, without a stack trace unless {@code --debug} asks for it.
 */
package ai.nibble.cli;
