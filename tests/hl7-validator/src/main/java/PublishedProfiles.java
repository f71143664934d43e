import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.DefaultProfileValidationSupport;
import org.hl7.fhir.convertors.factory.VersionConvertorFactory_40_50;
import org.hl7.fhir.r4.model.StructureDefinition;
import org.hl7.fhir.r5.conformance.StructureDefinitionHacker;

/**
 * R4's profiles with the corrections that HL7's validator makes when it loads them itself, a step HAPI leaves out.
 *
 * <p>It matters for the vital signs: their constraint vs-1 ("if effective[x] is a dateTime, it is precise to the day") as
 * published fails for every Period, which the same profiles allow.
 */
final class PublishedProfiles {
    private static final String VITAL_SIGNS = "http://hl7.org/fhir/StructureDefinition/vitalsigns";

    static DefaultProfileValidationSupport corrected(FhirContext context) {
        var profiles = new DefaultProfileValidationSupport(context);
        var corrections = new StructureDefinitionHacker(context.getVersion().getVersion().getFhirVersionString());
        // What is changed here is what the validator sees: it is given these very objects.
        for (StructureDefinition profile : profiles.<StructureDefinition>fetchAllStructureDefinitions()) {
            if (VITAL_SIGNS.equals(profile.getUrl()) || VITAL_SIGNS.equals(profile.getBaseDefinition())) {
                var converted = VersionConvertorFactory_40_50.convertResource(profile);
                var fixed = corrections.fixSD((org.hl7.fhir.r5.model.StructureDefinition) converted);
                var corrected = (StructureDefinition) VersionConvertorFactory_40_50.convertResource(fixed);
                profile.setSnapshot(corrected.getSnapshot());
                profile.setDifferential(corrected.getDifferential());
            }
        }
        return profiles;
    }

    private PublishedProfiles() {}
}
