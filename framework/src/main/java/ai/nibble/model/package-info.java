/** Decoder models: their configuration, where their weights come from, and how they compute. */
package ai.nibble.model;
