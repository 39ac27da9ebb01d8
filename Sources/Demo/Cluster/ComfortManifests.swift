import Resources

/// The objects of the example as they lie in `examples/thermal-comfort`, within the program: it finds them wherever it is installed. A test
/// compares the two.
package enum ComfortManifests {
    /// `datasets.yaml`: the votes of two edges.
    package static let datasets = """
        # Votes of people in buildings, at the two edges that own the cities: each file grows by the votes of a round.
        apiVersion: sedna.io/v1alpha1
        kind: Dataset
        metadata:
          name: votes-edge-1
        spec:
          url: /data/edge-1/votes.csv
          format: csv
          nodeName: edge-1
          label: thermal_preference
        ---
        apiVersion: sedna.io/v1alpha1
        kind: Dataset
        metadata:
          name: votes-edge-2
        spec:
          url: /data/edge-2/votes.csv
          format: csv
          nodeName: edge-2
          label: thermal_preference

        """

    /// `job.yaml`: the job that learns from them.
    package static let job = """
        # Learns what people in buildings want, round by round: votes are collected at the edges, learned in the cloud, and the model serves at the
        # edges again. A round begins when it is asked for: kubectl annotate ll thermal-comfort jobs.skerry.io/train=round-1
        apiVersion: sedna.io/v1alpha1
        kind: LifelongLearningJob
        metadata:
          name: thermal-comfort
        spec:
          # Nothing is held out: a round is judged by what its model says of votes that its parts did not see.
          dataset: {name: votes-edge-1, trainProb: 1}
          additionalDatasets:
            - name: votes-edge-2
          outputDir: /data/output
          # The votes of these surveys are public: all of them may leave their edge.
          privacy: {rule: all}
          trainSpec:
            trigger:
              # Never by itself: the demo asks for each round.
              checkPeriodSeconds: 3600
              condition: {metric: num_of_samples, operator: ">", threshold: 1000000}
            template:
              spec:
                containers:
                  - name: train
                    image: skerry/worker:builtin
                    args: [train]
                    env:
                      - {name: LEARNER, value: thermal-comfort}
                      - {name: LABELS, value: few}
                      - {name: SEED, value: "27"}
                      # In front of the versions of models: the demo says SYNTHETIC here where it makes up its votes.
                      - {name: MODEL_MARK, value: ""}
          evalSpec:
            template:
              spec:
                containers:
                  - name: evaluate
                    image: skerry/worker:builtin
                    args: [evaluate]
                    env:
                      - {name: LEARNER, value: thermal-comfort}
          deploySpec:
            template:
              spec:
                containers:
                  - name: infer
                    image: skerry/worker:builtin
                    args: [infer]
                    env:
                      - {name: LEARNER, value: thermal-comfort}
                      # Seconds between two reports.
                      - {name: LC_PERIOD, value: "1"}

        """

    /// `adapting.yaml`: a worker at an edge that adapts by itself.
    package static let adapting = """
        # The model of the job once more at an edge, in a worker that adapts by itself: labels that people give there correct it at once, without the
        # cloud. Apart from the workers that serve for the judge, whose answers are to be those of the job alone. The model is the part of it that edge-2
        # needs, with the corrections of its own sites and persons.
        apiVersion: v1
        kind: Pod
        metadata:
          name: thermal-comfort-adapting
          labels:
            jobs.skerry.io/worker: "true"
        spec:
          nodeName: edge-2
          containers:
            - name: infer
              image: skerry/worker:builtin
              args: [infer]
              env:
                - {name: MODEL_NAME, value: thermal-comfort}
                - {name: MODEL_URL, value: /home/data/model/model.onnx}
                - {name: MODEL_HOT_UPDATE_CONFIG, value: /home/data/model/model_config.json}
                - {name: LEARNER, value: thermal-comfort}
                - {name: ADAPT, value: "true"}
                - {name: ADAPT_URL, value: /home/data/labels}
                - {name: LC_PERIOD, value: "1"}
              volumeMounts:
                - {name: model, mountPath: /home/data/model}
                - {name: labels, mountPath: /home/data/labels}
          volumes:
            - name: model
              csi:
                driver: models.skerry.io
                readOnly: true
                volumeAttributes: {model: thermal-comfort.edge-2}
            - name: labels
              emptyDir: {}

        """

    /// The objects of a file of manifests.
    ///
    /// - Parameter folder: stands where the files say `/data`.
    /// - Throws: `YAMLParseError`.
    static func objects(_ text: String, folder: String) throws -> [JSON] {
        try text.split(separator: "---\n").map { document in
            try YAMLParser.parse(document.split(separator: "/data/", omittingEmptySubsequences: false).joined(separator: "\(folder)/").utf8)
        }
    }
}
