/** Models and adapters in the forms that other programs read. */
package ai.nibble.export;
