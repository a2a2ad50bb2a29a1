/**
 * What a run leaves for people and for those who check it, beside what was trained: {@code
 * run.json} ({@link ai.nibble.report.RunFile}), {@code provenance.json} ({@link
 * ai.nibble.report.ProvenanceFile}) and {@code report.html} ({@link ai.nibble.report.Report}).
 * Names in the JSON files are those of the records' components in snake_case.
 */
package ai.nibble.report;
